package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// row is what came of one event, with one kind at one interval.
type row struct {
	kind     *kind
	event    *event
	interval time.Duration

	Results  []result
	Failures []string // of repetitions that were repeated
}

func (w *row) failed(err error) { w.Failures = append(w.Failures, err.Error()) }

// report gathers the rows.
type report struct {
	begin, end time.Time
	repeat     int
	kernel     string
	cpus       int
	note       string
	load       []float64 // the machine's load average (1 min) when each row was done

	mu       sync.Mutex
	versions map[string]string
	absent   map[string]string
	rows     []*row
}

func newReport(o *options) *report {
	rep := &report{
		begin: time.Now(), repeat: o.repeat, kernel: kernelVersion(),
		versions: map[string]string{}, absent: map[string]string{},
	}
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) == nil {
		rep.cpus = set.Count()
	}
	for _, k := range o.kinds {
		version, err := k.version()
		if err != nil {
			rep.absent[k.name] = err.Error()
			continue
		}
		rep.versions[k.name] = version
	}
	return rep
}

func kernelVersion() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	return "Linux " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

// loadAverage returns how many threads have wanted a CPU in the last minute.
func loadAverage() (load float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		fmt.Sscan(string(text), &load)
	}
	return load
}

// loadLine says how busy the machine was.
func (rep *report) loadLine() string {
	if len(rep.load) == 0 {
		return "load average not known"
	}
	list := slices.Sorted(slices.Values(rep.load))
	return fmt.Sprintf("load average %.1f to %.1f, median %.1f, with the measurement's own", list[0], list[len(list)-1], list[len(list)/2])
}

func (rep *report) version(k *kind) string { return rep.versions[k.name] }

// headLines say what is measured.
func (rep *report) headLines() (lines []string) {
	for _, k := range kinds {
		if v := rep.versions[k.name]; v != "" {
			lines = append(lines, fmt.Sprintf("%s: %s", k.title, v))
		} else if why := rep.absent[k.name]; why != "" {
			lines = append(lines, fmt.Sprintf("%s: not measured: %s", k.title, why))
		}
	}
	return append(lines, fmt.Sprintf("%s, %d CPUs", rep.kernel, rep.cpus))
}

func (rep *report) row(j *job, e *event) *row {
	rep.mu.Lock()
	defer rep.mu.Unlock()
	w := &row{kind: j.kind, event: e, interval: j.interval}
	rep.rows = append(rep.rows, w)
	return w
}

// done prints a row as soon as it is there.
func (rep *report) done(w *row) {
	rep.mu.Lock()
	defer rep.mu.Unlock()
	rep.load = append(rep.load, loadAverage())
	fmt.Printf("%s  %-6v %-16s %-10s %s\n", time.Now().Format("15:04:05"), w.interval, w.kind.name, w.event.id, w.summary())
}

// short is a repetition in one line.
func (r result) short() string {
	text := fmt.Sprintf("lost %d gap %s ms dup %d reordered %d owners %d (together %v) taken %v",
		r.Figures.Lost, milliseconds(r.Figures.Gap), r.Figures.Duplicates, r.Figures.Reordered, r.Owners.Most, r.Owners.Together,
		r.Taken.Round(time.Millisecond))
	for _, f := range r.Streams {
		text += fmt.Sprintf(" [%d, %s ms]", f.Lost, milliseconds(f.Gap))
	}
	if !r.Settled {
		text += "; not well again: " + r.Why
	}
	return text
}

// spread is the median and the worst of the repetitions.
type spread struct {
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"`
}

func spreadOf(results []result, value func(result) float64) spread {
	if len(results) == 0 {
		return spread{}
	}
	var list []float64
	for _, r := range results {
		list = append(list, value(r))
	}
	slices.Sort(list)
	// Of an even number the worse one: no figure that was not measured.
	return spread{Median: list[len(list)/2], Worst: list[len(list)-1]}
}

func lostOf(r result) float64       { return float64(r.Figures.Lost) }
func duplicatesOf(r result) float64 { return float64(r.Figures.Duplicates) }
func gapOf(r result) float64        { return float64(r.Figures.Gap) / float64(time.Millisecond) }
func ownersOf(r result) float64     { return float64(r.Owners.Most) }
func togetherOf(r result) float64   { return float64(r.Owners.Together) / float64(time.Millisecond) }

// String writes "median/worst", or one number where they are the same.
func (s spread) String() string {
	if number(s.Median) == number(s.Worst) {
		return number(s.Worst)
	}
	return number(s.Median) + " / " + number(s.Worst)
}

func number(v float64) string {
	if v == float64(int(v)) || v >= 10 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// unsettled counts repetitions after which all was not well.
func (w *row) unsettled() (n int) {
	for _, r := range w.Results {
		if !r.Settled {
			n++
		}
	}
	return n
}

// verdict compares the row with its target: the worst repetition counts.
func (w *row) verdict() string {
	if len(w.Results) == 0 {
		return "not measured"
	}
	if w.event.target == nil {
		return ""
	}
	t := w.event.target(w.interval)
	missed := map[string]bool{}
	missing := 0
	for _, r := range w.Results {
		list := t.misses(r)
		if len(list) > 0 {
			missing++
		}
		for _, m := range list {
			missed[m] = true
		}
	}
	if missing == 0 {
		return "pass"
	}
	var names []string
	for _, m := range []string{"not well again", "lost", "gap", "dup", "owners"} {
		if missed[m] {
			names = append(names, m)
		}
	}
	return fmt.Sprintf("miss %d/%d: %s", missing, len(w.Results), strings.Join(names, ", "))
}

func (w *row) targetText() string {
	if w.event.target == nil {
		return "-"
	}
	return w.event.target(w.interval).String()
}

func (w *row) cells() []string {
	if len(w.Results) == 0 {
		return []string{"-", "-", "-", "-", "-"}
	}
	gap := spreadOf(w.Results, gapOf).String()
	if n := w.unsettled(); n > 0 {
		gap += fmt.Sprintf(" (%d of %d not well again)", n, len(w.Results))
	}
	return []string{
		spreadOf(w.Results, lostOf).String(), gap, spreadOf(w.Results, duplicatesOf).String(),
		spreadOf(w.Results, ownersOf).String(), spreadOf(w.Results, togetherOf).String(),
	}
}

func (w *row) summary() string {
	c := w.cells()
	text := fmt.Sprintf("lost %s, gap %s ms, dup %s, owners %s (together %s ms)  %s", c[0], c[1], c[2], c[3], c[4], w.verdict())
	if len(w.Failures) > 0 {
		text += fmt.Sprintf("  (%d repeated; last: %s)", len(w.Failures), w.Failures[len(w.Failures)-1])
	}
	return text
}

// inOrder returns the rows by event, interval and kind.
func (rep *report) inOrder() []*row {
	rows := slices.Clone(rep.rows)
	slices.SortStableFunc(rows, func(a, b *row) int {
		if d := slices.Index(events, a.event) - slices.Index(events, b.event); d != 0 {
			return d
		}
		if a.interval != b.interval {
			return int(a.interval - b.interval)
		}
		return slices.Index(kinds, a.kind) - slices.Index(kinds, b.kind)
	})
	return rows
}

// table is the whole result for a screen.
func (rep *report) table() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\nMEDIAN / WORST OF %d (one number where they are the same); packets of 4 streams, 4000 a second\n", rep.repeat)
	tab := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	var last *event
	for _, w := range rep.inOrder() {
		if w.event != last {
			tab.Flush()
			fmt.Fprintf(&text, "\n%s: %s\n", w.event.id, w.event.title)
			fmt.Fprintln(tab, "  interval\t\tlost\tgap ms\tdup\towners\ttogether ms\tto reach\t")
			last = w.event
		}
		fmt.Fprintf(tab, "  %v\t%s\t%s\t%s\t%s\n", w.interval, w.kind.title, strings.Join(w.cells(), "\t"), w.targetText(), w.verdict())
	}
	tab.Flush()
	return text.String()
}

// record is a row in the JSON file; durations are in milliseconds.
type record struct {
	Event      string   `json:"event"`
	IntervalMS float64  `json:"interval_ms"`
	Daemon     string   `json:"daemon"`
	Lost       spread   `json:"lost"`
	GapMS      spread   `json:"gap_ms"`
	Duplicates spread   `json:"duplicates"`
	Owners     spread   `json:"owners"`
	TogetherMS spread   `json:"together_ms"`
	Target     string   `json:"target"`
	Verdict    string   `json:"verdict"`
	Results    []result `json:"repetitions"`
	Repeated   []string `json:"repeated"`
}

func (w *row) record() record {
	return record{
		Event: w.event.id, IntervalMS: float64(w.interval) / float64(time.Millisecond), Daemon: w.kind.name,
		Lost: spreadOf(w.Results, lostOf), GapMS: spreadOf(w.Results, gapOf), Duplicates: spreadOf(w.Results, duplicatesOf),
		Owners: spreadOf(w.Results, ownersOf), TogetherMS: spreadOf(w.Results, togetherOf),
		Target: w.targetText(), Verdict: w.verdict(), Results: w.Results, Repeated: w.Failures,
	}
}

// write writes the files.
func (rep *report) write(o *options) error {
	if o.output != "" {
		if err := os.MkdirAll(filepath.Dir(o.output), 0o755); err != nil {
			return err
		}
		if err := rep.writeJSON(o.output + ".json"); err != nil {
			return err
		}
		if err := rep.writeCSV(o.output + ".csv"); err != nil {
			return err
		}
	}
	if o.page == "" {
		return nil
	}
	return os.WriteFile(o.page, []byte(rep.markdown()), 0o644)
}

// measurement is the JSON file.
type measurement struct {
	Begin    time.Time         `json:"begin"`
	End      time.Time         `json:"end"`
	Kernel   string            `json:"kernel"`
	CPUs     int               `json:"cpus"`
	Repeat   int               `json:"repeat"`
	Load     []float64         `json:"load"`
	Note     string            `json:"note,omitempty"` // for the page: what is to be known of this run
	Versions map[string]string `json:"versions"`
	Absent   map[string]string `json:"not_measured"`
	Rows     []record          `json:"rows"`
}

func (rep *report) writeJSON(path string) error {
	m := measurement{
		Begin: rep.begin.UTC(), End: rep.end.UTC(), Kernel: rep.kernel, CPUs: rep.cpus, Repeat: rep.repeat, Load: rep.load, Note: rep.note,
		Versions: rep.versions, Absent: rep.absent,
	}
	for _, w := range rep.inOrder() {
		m.Rows = append(m.Rows, w.record())
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// readReport reads what writeJSON has written. Targets and verdicts are those
// of this program.
func readReport(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var m measurement
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rep := &report{
		begin: m.Begin, end: m.End, kernel: m.Kernel, cpus: m.CPUs, repeat: m.Repeat, load: m.Load, note: m.Note,
		versions: m.Versions, absent: m.Absent,
	}
	for _, r := range m.Rows {
		i := slices.IndexFunc(events, func(e *event) bool { return e.id == r.Event })
		j := slices.IndexFunc(kinds, func(k *kind) bool { return k.name == r.Daemon })
		if i < 0 || j < 0 {
			return nil, fmt.Errorf("%s: no event %q or no daemon %q", path, r.Event, r.Daemon)
		}
		rep.rows = append(rep.rows, &row{
			kind: kinds[j], event: events[i], interval: time.Duration(r.IntervalMS * float64(time.Millisecond)),
			Results: r.Results, Failures: r.Repeated,
		})
	}
	return rep, nil
}

func (rep *report) writeCSV(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := csv.NewWriter(file)
	w.Write([]string{"event", "interval_ms", "daemon", "repetition", "lost", "gap_ms", "duplicates", "reordered", "owners", "together_ms", "settled"})
	for _, row := range rep.inOrder() {
		for i, r := range row.Results {
			w.Write([]string{
				row.event.id, fmt.Sprint(row.interval.Milliseconds()), row.kind.name, fmt.Sprint(i + 1),
				fmt.Sprint(r.Figures.Lost), fmt.Sprintf("%.2f", gapOf(r)), fmt.Sprint(r.Figures.Duplicates),
				fmt.Sprint(r.Figures.Reordered), fmt.Sprint(r.Owners.Most), fmt.Sprint(togetherOf(r)), fmt.Sprint(r.Settled),
			})
		}
	}
	w.Flush()
	return w.Error()
}
