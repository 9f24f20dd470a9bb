package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSpreadIsOfMeasuredFigures(t *testing.T) {
	for _, c := range []struct {
		lost []int
		want spread
		text string
	}{
		{nil, spread{}, "0"},
		{[]int{3}, spread{3, 3}, "3"},
		{[]int{9, 1, 5}, spread{5, 9}, "5 / 9"},
		{[]int{1, 2, 3, 100}, spread{3, 100}, "3 / 100"}, // never between two
	} {
		var results []result
		for _, n := range c.lost {
			results = append(results, result{Figures: figures{Lost: n}})
		}
		got := spreadOf(results, lostOf)
		if got != c.want || got.String() != c.text {
			t.Errorf("%v: %+v %q, want %+v %q", c.lost, got, got, c.want, c.text)
		}
	}
}

func TestVerdictIsThatOfTheWorstRepetition(t *testing.T) {
	good := result{Settled: true, Owners: ownership{Most: 1}}
	lost, twice, two, unwell, late := good, good, good, good, good
	lost.Figures.Lost = 1
	twice.Figures.Duplicates = 1
	two.Owners.Most = 2
	unwell.Settled = false
	late.Figures.Gap = 16 * time.Millisecond
	open := good
	open.Figures.Open = true
	for _, c := range []struct {
		name    string
		target  func(time.Duration) target
		results []result
		want    string
	}{
		{"nothing measured", plannedTarget, nil, "not measured"},
		{"all good", plannedTarget, []result{good, good}, "pass"},
		{"one lost one packet", plannedTarget, []result{good, lost, good}, "miss 1/3: lost"},
		{"one saw duplicates, one two owners", plannedTarget, []result{twice, two}, "miss 1/2: dup"},
		{"not well again", plannedTarget, []result{unwell}, "miss 1/1: not well again"},
		{"a loss is allowed, the gap is not", hostDeadTarget, []result{lost, late}, "miss 1/2: gap"},
		{"a gap that did not end", hostDeadTarget, []result{open}, "miss 1/1: gap"},
		{"only owners count", ownerTarget, []result{late, lost, twice}, "pass"},
		{"no target", nil, []result{lost}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &row{event: &event{target: c.target}, interval: time.Second, Results: c.results}
			if got := w.verdict(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestTargetsFollowTheInterval(t *testing.T) {
	for _, c := range []struct {
		name string
		got  target
		want string
	}{
		{"kill at 1 s", killTarget(time.Second), "gap <= 629 ms, 0 dup, 1 owner"},
		{"kill at 10 ms", killTarget(10 * time.Millisecond), "gap <= 26 ms, 0 dup, 1 owner"},
		{"frozen at 100 ms", freezeTarget(100 * time.Millisecond), "gap <= 181 ms, 0 dup, 1 owner"},
		{"silent at 100 ms", silentTarget(100 * time.Millisecond), "gap <= 364 ms, 0 dup, 1 owner"},
		{"host dead", hostDeadTarget(time.Second), "gap <= 15 ms, 0 dup, 1 owner"},
		{"planned", plannedTarget(time.Second), "0 lost, 0 dup"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}

// sample is a report of two rows.
func sample() *report {
	rep := &report{
		begin: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), end: time.Date(2026, 1, 2, 4, 5, 0, 0, time.UTC),
		kernel: "Linux 6.1", cpus: 2, repeat: 2,
		versions: map[string]string{"vrouter": "vrouter 1", "keepalived": "Keepalived 2"}, absent: map[string]string{"frr": "no root"},
	}
	stop, kill := events[0], events[0]
	for _, e := range events {
		switch e.id {
		case "stop":
			stop = e
		case "kill":
			kill = e
		}
	}
	good := result{Settled: true, Owners: ownership{Most: 1}, Figures: figures{Sent: 1000, Gap: 200 * time.Microsecond}}
	bad := good
	bad.Figures.Lost, bad.Owners.Most, bad.Owners.Together = 7, 2, 40*time.Millisecond
	w := rep.row(&job{kind: kinds[0], interval: time.Second}, stop)
	w.Results = []result{good, good}
	w = rep.row(&job{kind: kinds[1], interval: 100 * time.Millisecond}, stop)
	w.Results, w.Failures = []result{bad}, []string{"the first line\nthe second"}
	w = rep.row(&job{kind: kinds[0], interval: 100 * time.Millisecond}, kill)
	w.Results = []result{good, bad}
	return rep
}

func TestPageShowsEveryRow(t *testing.T) {
	page := sample().markdown()
	for _, want := range []string{
		"Measured on 2026-01-02, from 03:04 to 04:05 UTC.",
		"- vrouter: vrouter 1\n", "- FRR vrrpd: not measured: no root\n", "- Linux 6.1, 2 CPUs\n",
		"| 1s | vrouter | 0 | 0.2 | 0 | 1 | 0 | 0 lost, 0 dup | pass |\n",
		"| 100ms | keepalived | 7 | 0.2 | 0 | 2 | 40 | 0 lost, 0 dup | miss 1/1: lost |\n",
		"| 100ms | vrouter | 7 | 0.2 | 0 | 2 | 40 | gap <= 81 ms, 0 dup, 1 owner | miss 1/2: owners |\n",
		"| planned stop (SIGTERM) | -; 0.2 | 0.2 (l 7, o 2); - |\n",
		"- stop, 100ms, keepalived: only 1 of 2 repetitions could be judged; last: the first line\n",
		"5 repetitions are in the figures; 1 were repeated",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestFilesHoldEveryRepetition(t *testing.T) {
	o := &options{output: filepath.Join(t.TempDir(), "figures")}
	if err := sample().write(o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(o.output + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Rows []record }
	if err := json.Unmarshal(text, &got); err != nil || len(got.Rows) != 3 || len(got.Rows[0].Results) != 2 {
		t.Errorf("%v: %d rows: %s", err, len(got.Rows), text)
	}
	rep, err := readReport(o.output + ".json")
	if err != nil || rep.markdown() != sample().markdown() {
		t.Errorf("%v: the page of the file that was read is another one", err)
	}
	file, err := os.Open(o.output + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil || len(lines) != 1+5 {
		t.Errorf("%v: %d lines of CSV, want 6", err, len(lines))
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-events", "stop,kill", "-intervals", "20ms,1s", "-daemons", "frr", "-repeat", "7"})
	if err != nil || len(o.events) != 2 || o.events[0].id != "kill" || len(o.intervals) != 2 || o.kinds[0].name != "frr" || o.repeat != 7 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range [][]string{
		{"-events", "fire"},
		{"-daemons", "vrouter,ospfd"},
		{"-intervals", "15ms"},
		{"-intervals", "0s"},
		{"-repeat", "0"},
		{"kill"},
	} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}

func TestExpectedTimeCountsRepetitionsAndLanes(t *testing.T) {
	o := &options{repeat: 5, parallel: 2}
	one := []*job{{interval: 100 * time.Millisecond, events: events[:1]}}
	if d := o.expected(one); d < 10*time.Second || d > time.Minute {
		t.Errorf("5 kills at 100 ms: %v", d)
	}
	long := []*job{{interval: time.Second, events: events}, {interval: time.Second, events: events}}
	beside := append(long[:2:2], one...)
	if o.expected(long) != o.expected(beside) {
		t.Error("a short job beside long ones takes no longer")
	}
}
