package main

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample is a report of three rounds: vrouter at 0.5, 0.9 and 0.8 of the
// kernel's rate, and a router that was there in one round only.
func sample() *report {
	rep := &report{
		Kernel: "Linux 6.12 <test>", CPUs: 2, Rounds: 3,
		Versions: map[string]string{kernelKind: "Linux", packetPort: "1.0", "testpmd-af_packet": "DPDK"},
		Absent:   map[string]string{xdpPort: "loading an XDP program needs root"},
		Figures: map[string]map[string]map[int]float64{
			kernelKind:          {"pps1": {0: 1e6, 1: 1e6, 2: 2e6}, "cost": {0: 1000, 1: 1100, 2: 1000}, "p50": {0: 10, 1: 11, 2: 12}},
			packetPort:          {"pps1": {0: 5e5, 1: 9e5, 2: 1.6e6}, "cost": {0: 1500, 1: 2300, 2: 1400}, "p50": {0: 30, 1: 20, 2: 26}},
			"testpmd-af_packet": {"pps1": {1: 4e5}},
			directKind:          {"pps1": {0: 3e6}, "cost": {0: 500, 1: 500}},
		},
		Errors: []string{"round 3, testpmd-af_packet: the router forwards nothing\nlast | words"},
		Load:   []float64{1, 3, 2},
	}
	rep.find()
	return rep
}

func measureOf(t *testing.T, id string) *measure {
	t.Helper()
	i := slices.IndexFunc(measures, func(m *measure) bool { return m.id == id })
	if i < 0 {
		t.Fatalf("no measure %s", id)
	}
	return measures[i]
}

func TestRowsAreMediansAndPairedRatios(t *testing.T) {
	rows := sample().rows(measureOf(t, "pps1"))
	if len(rows) != 3 {
		t.Fatalf("%d rows; the bare cable is no router", len(rows))
	}
	if r := rows[1]; r.kind.name != packetPort || r.value != 900 || r.from != 500 || r.to != 1600 ||
		r.ratio != 0.8 || r.ratioFrom != 0.5 || r.ratioTo != 0.9 || r.rounds != 3 {
		t.Errorf("%+v", r)
	}
	if r := rows[2]; r.rounds != 1 || r.ratio != 0.4 {
		t.Errorf("one round: %+v", r)
	}
}

func TestTheBareCableIsTakenOffCPUTime(t *testing.T) {
	rep := sample()
	rows := rep.rows(measureOf(t, "cost"))
	// 500, 600 and 1000, 1800; in round 3 the cable was not measured.
	if r := rows[0]; r.value != 550 || r.rounds != 2 || r.ratio != 1 {
		t.Errorf("kernel: %+v", r)
	}
	if r := rows[1]; r.value != 1400 || r.ratioFrom != 2 || r.ratioTo != 3 || r.ratio != 2.5 {
		t.Errorf("vrouter: %+v", r)
	}
	if !measureOf(t, "cost").reached(rows[1]) {
		t.Error("2.5 is at most 2.5")
	}
}

func TestAMeasureWithoutRatioIsJudgedByItself(t *testing.T) {
	m := measureOf(t, "p50")
	rows := sample().rows(m)
	if r := rows[1]; !math.IsNaN(r.ratio) || r.value != 26 || m.reached(r) || r.ratioText() != "-" {
		t.Errorf("%+v", r)
	}
	if m.goal(packetPort) != "<= 25" || m.goal(kernelKind) != "" {
		t.Errorf("goals %q and %q", m.goal(packetPort), m.goal(kernelKind))
	}
}

func TestTheCSVHasEveryFigureOfEveryRound(t *testing.T) {
	lines, err := csv.NewReader(strings.NewReader(sample().csv())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1+(3+3+1+1)+(3+3+2)+(3+3) {
		t.Errorf("%d lines:\n%v", len(lines), lines)
	}
	for _, want := range [][]string{
		{"pps1", "kpps", packetPort, "3", "1600", "1600", "0.800"},
		{"cost", "ns", packetPort, "1", "1500", "1000", "2.000"},
		{"cost", "ns", packetPort, "3", "1400", "", ""},
		{"cost", "ns", directKind, "1", "500", "", ""},
		{"p50", "us", kernelKind, "2", "11.0", "11.0", ""},
	} {
		if !slices.ContainsFunc(lines, func(l []string) bool { return slices.Equal(l, want) }) {
			t.Errorf("no line %v in\n%s", want, sample().csv())
		}
	}
}

func TestThePageHasTablesThatHold(t *testing.T) {
	page := sample().markdown(&options{page: "docs/bench/x.md", picture: "docs/bench/x.svg"})
	for _, want := range []string{
		"| Packets a second, 64 bytes, one flow, ratio | 1.00 | **0.80** | 0.40 |",
		"| CPU time of a packet under load, ratio | 1.00 | **2.50** | – |",
		"median, us | 11.0 | 26.0 ✗ | – |",
		"vrouter, AF_XDP: not measured: loading an XDP program needs root",
		"(x.svg)", "load average 1.0 to 3.0, median 2.0", "the router forwards nothing\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	columns := 0
	for line := range strings.SplitSeq(page, "\n") {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		if n := strings.Count(line, "|"); columns != 0 && n != columns {
			t.Errorf("a table of %d columns has %d in %q", columns-1, n-1, line)
		} else {
			columns = n
		}
	}
	if strings.Contains(page, "NaN") || strings.Contains(page, "last | words") {
		t.Errorf("the page has what it should not:\n%s", page)
	}
}

func TestThePictureIsWellFormedAndInside(t *testing.T) {
	svg := sample().svg()
	decoder := xml.NewDecoder(strings.NewReader(svg))
	bars := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	// The ground; three rates, two costs, two round trips.
	if bars != 1+3+2+2 {
		t.Errorf("%d rectangles in\n%s", bars, svg)
	}
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, "<test>") {
		t.Errorf("not fit to be shown:\n%s", svg)
	}
	if !strings.Contains(svg, "0.80  (900 kpps)") {
		t.Errorf("no label of vrouter's rate in\n%s", svg)
	}
}

func TestMarksAreFewAndRound(t *testing.T) {
	for limit, want := range map[float64][]float64{
		1:    {0, 0.2, 0.4, 0.6, 0.8, 1},
		1.36: {0, 0.25, 0.5, 0.75, 1, 1.25},
		26:   {0, 5, 10, 15, 20, 25},
		4.9:  {0, 1, 2, 3, 4},
	} {
		got := marks(limit)
		if !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("up to %v: %v, want %v", limit, got, want)
		}
	}
	for limit := 0.001; limit < 1e7; limit *= 1.37 {
		if n := len(marks(limit)); n < 2 || n > 8 {
			t.Errorf("up to %v: %d marks", limit, n)
		}
	}
}

func TestAReportIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	rep := sample()
	o := &options{output: filepath.Join(dir, "run"), page: filepath.Join(dir, "deep", "page.md"), picture: filepath.Join(dir, "p.svg")}
	if err := rep.write(o); err != nil {
		t.Fatal(err)
	}
	again, err := readReport(o.output + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if again.tables() != rep.tables() || again.csv() != rep.csv() {
		t.Errorf("the report changes by being read:\n%s\n%s", rep.tables(), again.tables())
	}
	for _, file := range []string{"run.csv", "deep/page.md", "deep/page.csv", "p.svg"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	if err := os.WriteFile(o.output+".json", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var syntax *json.SyntaxError
	if _, err := readReport(o.output + ".json"); !errors.As(err, &syntax) {
		t.Errorf("half a file: %v", err)
	}
}

func TestAddKeepsWhatWasMeasuredBesideAnError(t *testing.T) {
	rep := sample()
	rep.add(kinds[0], 0, figures{"pps1": 5e6, "ndr": math.NaN()}, errors.New("the search was interrupted\nmore"))
	if rep.Figures[kernelKind]["pps1"][0] != 5e6 || len(rep.Figures[kernelKind]["ndr"]) != 0 || len(rep.Errors) != 2 {
		t.Errorf("%v %q", rep.Figures[kernelKind], rep.Errors)
	}
}

func TestNumbersHaveNoMoreDigitsThanTheyDeserve(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.123: "0.12", 9.87: "9.87", 10.04: "10.0", 99.96: "100.0", 123.4: "123", -250.6: "-251"} {
		if got := number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
