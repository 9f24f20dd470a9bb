package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is what a run has measured; its file is JSON.
type report struct {
	Start, End time.Time
	Kernel     string
	CPUs       int
	Processor  string
	Rounds     int
	Length     time.Duration
	Versions   map[string]string // by kind
	Absent     map[string]string // why a kind was not measured
	// Figures by kind, measure and round.
	Figures map[string]map[string]map[int]float64
	Errors  []string
	Notes   []string
	Load    []float64

	present []*kind
}

func newReport(o *options) *report {
	rep := &report{
		Start: time.Now(), Kernel: kernelVersion(), CPUs: runtime.NumCPU(), Processor: processor(), Rounds: o.rounds, Length: o.length,
		Versions: map[string]string{}, Absent: map[string]string{}, Figures: map[string]map[string]map[int]float64{},
	}
	for _, k := range kinds {
		if !slices.Contains(o.routers, k.name) {
			continue
		}
		version, err := k.version()
		if err != nil {
			rep.Absent[k.name] = err.Error()
			continue
		}
		rep.Versions[k.name] = version
		if k.noTCP != "" && o.wants("tcp") {
			o.note("TCP is not measured with " + k.title + ": " + k.noTCP)
		}
	}
	if o.wants("tcp") && !iperf3() {
		o.note("TCP is not measured: iperf3 is not installed")
	}
	rep.find()
	return rep
}

// find fills in the kinds that were measured.
func (rep *report) find() {
	for _, k := range kinds {
		if rep.Versions[k.name] != "" {
			rep.present = append(rep.present, k)
		}
	}
}

func readReport(file string) (*report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	rep := &report{}
	if err := json.Unmarshal(text, rep); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	rep.find()
	return rep, nil
}

func kernelVersion() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	return "Linux " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

// processor returns the CPU's name, where the kernel tells it.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // some architectures name none
	for line := range strings.SplitSeq(string(text), "\n") {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// loadAverage returns how many threads have wanted a CPU in the last minute.
func loadAverage() (load float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		fmt.Sscan(string(text), &load)
	}
	return load
}

// headLines say what is measured.
func (rep *report) headLines() (lines []string) {
	for _, k := range kinds {
		if v := rep.Versions[k.name]; v != "" {
			lines = append(lines, fmt.Sprintf("%s: %s (%s)", k.title, v, k.about))
		} else if why := rep.Absent[k.name]; why != "" {
			lines = append(lines, fmt.Sprintf("%s: not measured: %s", k.title, why))
		}
	}
	machine := fmt.Sprintf("%s, %d CPUs", rep.Kernel, rep.CPUs)
	if rep.Processor != "" {
		machine += ", " + rep.Processor
	}
	return append(lines, machine, fmt.Sprintf("%d rounds, %v a stream", rep.Rounds, rep.Length))
}

// add keeps what a turn has brought, and prints it.
func (rep *report) add(k *kind, round int, f figures, err error) {
	rep.Load = append(rep.Load, loadAverage())
	if rep.Figures[k.name] == nil {
		rep.Figures[k.name] = map[string]map[int]float64{}
	}
	text := fmt.Sprintf("%s  round %d  %-18s", time.Now().Format("15:04:05"), round+1, k.name)
	for _, m := range measures {
		value, found := f[m.id]
		if !found || math.IsNaN(value) {
			continue
		}
		if rep.Figures[k.name][m.id] == nil {
			rep.Figures[k.name][m.id] = map[int]float64{}
		}
		rep.Figures[k.name][m.id][round] = value
		text += fmt.Sprintf("  %s %s", m.id, number(value/m.scale))
	}
	if err != nil {
		text += "  " + firstWords(err)
		rep.Errors = append(rep.Errors, fmt.Sprintf("round %d, %s: %v", round+1, k.name, err))
	}
	fmt.Println(text)
}

// figure returns a measure's values of a router by round, without the bare
// cable's part.
func (rep *report) figure(m *measure, kind string) map[int]float64 {
	own := rep.Figures[kind][m.id]
	if !m.bare {
		return own
	}
	net, bare := map[int]float64{}, rep.Figures[directKind][m.id]
	for round, v := range own {
		if base, found := bare[round]; found {
			net[round] = v - base
		}
	}
	return net
}

// row is one router's line of a measure's table.
type row struct {
	kind               *kind
	value              float64 // median, in the measure's unit
	from, to           float64 // smallest and largest
	ratio              float64 // to the kernel, median of the rounds; NaN: none
	ratioFrom, ratioTo float64
	rounds             int
}

// rows are a measure's table: nothing where nothing was measured.
func (rep *report) rows(m *measure) (list []row) {
	for _, k := range rep.present {
		v := values(rep.figure(m, k.name))
		if len(v) == 0 {
			continue
		}
		r := row{
			kind: k, value: median(v) / m.scale, from: slices.Min(v) / m.scale, to: slices.Max(v) / m.scale,
			rounds: len(v), ratio: math.NaN(),
		}
		if all := ratios(rep.figure(m, k.name), rep.figure(m, kernelKind)); !m.only && len(all) > 0 {
			r.ratio, r.ratioFrom, r.ratioTo = median(all), all[0], all[len(all)-1]
		}
		list = append(list, r)
	}
	return list
}

// ratioText is a row's ratio with its spread; "-" where there is none.
func (r row) ratioText() string {
	if math.IsNaN(r.ratio) {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", r.ratio, r.ratioFrom, r.ratioTo)
}

// tables are what a terminal gets.
func (rep *report) tables() string {
	var text strings.Builder
	for _, m := range measures {
		rows := rep.rows(m)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&text, "\n%s, %s\n", m.title, m.unit)
		for _, r := range rows {
			fmt.Fprintf(&text, "  %-24s %10s  %-18s", r.kind.title, number(r.value), number(r.from)+" to "+number(r.to))
			if !m.only {
				fmt.Fprintf(&text, "  ratio %-22s", r.ratioText())
			}
			if goal := m.goal(r.kind.name); goal != "" {
				fmt.Fprintf(&text, "  %s: %s", goal, verdict(m, r))
			}
			text.WriteString("\n")
		}
	}
	for _, e := range rep.Errors {
		fmt.Fprintf(&text, "\n%s\n", e)
	}
	return text.String()
}

func verdict(m *measure, r row) string {
	if m.reached(r) {
		return "reached"
	}
	return "missed"
}

// number writes a figure without more digits than it deserves.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// write writes the files that the options ask for.
func (rep *report) write(o *options) error {
	var errs []error
	if o.output != "" {
		text, err := json.MarshalIndent(rep, "", "  ")
		errs = append(errs, err, save(o.output+".json", string(text)+"\n"), save(o.output+".csv", rep.csv()))
	}
	if o.page != "" {
		// The figures of the page lie beside it, whole.
		base := strings.TrimSuffix(o.page, filepath.Ext(o.page))
		errs = append(errs, save(o.page, rep.markdown(o)), save(base+".csv", rep.csv()))
	}
	if o.picture != "" {
		errs = append(errs, save(o.picture, rep.svg()))
	}
	return errors.Join(errs...)
}

func save(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// csv has a line for each figure of each round: as it was measured, and with the
// bare cable's part taken off.
func (rep *report) csv() string {
	var text strings.Builder
	w := csv.NewWriter(&text)
	w.Write([]string{"measure", "unit", "router", "round", "measured", "net", "ratio"})
	names := []string{directKind}
	for _, k := range rep.present {
		names = append(names, k.name)
	}
	for _, m := range measures {
		for _, name := range names {
			for round := range rep.Rounds {
				if line := rep.line(m, name, round); line != nil {
					w.Write(line)
				}
			}
		}
	}
	w.Flush()
	return text.String()
}

// line is a figure's line of the CSV file; nil where there is no figure.
func (rep *report) line(m *measure, name string, round int) []string {
	v, found := rep.Figures[name][m.id][round]
	if !found {
		return nil
	}
	line := []string{m.id, m.unit, name, strconv.Itoa(round + 1), number(v / m.scale), "", ""}
	net, found := rep.figure(m, name)[round]
	if !found || name == directKind {
		return line
	}
	line[5] = number(net / m.scale)
	if base := rep.figure(m, kernelKind)[round]; base > 0 && !m.only {
		line[6] = fmt.Sprintf("%.3f", net/base)
	}
	return line
}
