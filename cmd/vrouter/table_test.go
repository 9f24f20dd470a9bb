package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"vrouter/router"
)

func TestTableAlignsAlsoColouredAndWideCells(t *testing.T) {
	draw := func(colour bool) string {
		s := &screen{colour: colour}
		tab := table{header: []string{"NAME", "N", "STATE"}, right: []int{1}}
		tab.add(text("käse"), text("7"), cell{"up", good}).notes = []cell{{"a note", bad}}
		tab.add(text("longer"), text("1234"), text(""))
		tab.render(s)
		return s.String()
	}
	want := "NAME       N  STATE\n" +
		"käse       7  up\n" +
		"    a note\n" +
		"longer  1234\n"
	if got := draw(false); got != want {
		t.Errorf("got\n%s", got)
	}
	want = "\x1b[1mNAME\x1b[0m       \x1b[1mN\x1b[0m  \x1b[1mSTATE\x1b[0m\n" +
		"käse       7  \x1b[32mup\x1b[0m\n" +
		"    \x1b[1;31ma note\x1b[0m\n" +
		"longer  1234\n"
	if got := draw(true); got != want {
		t.Errorf("got\n%q", got)
	}
}

func TestTextOfOthersCannotSteerTheTerminal(t *testing.T) {
	evil := "\x1b]0;x\a\r\nroot#\u202e"
	safe := printable(evil)
	if safe != "?]0;x???root#?" || utf8.RuneCountInString(safe) != utf8.RuneCountInString(evil) {
		t.Errorf("%q", safe)
	}
}

func TestColourOnlyOnTerminal(t *testing.T) {
	a := &app{stdout: &bytes.Buffer{}, getenv: func(string) string { return "" }}
	if a.newScreen().colour {
		t.Error("colour into a buffer")
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                           "0s",
		0:                                      "0s",
		999 * time.Microsecond:                 "<1ms",
		40 * time.Millisecond:                  "40ms",
		59*time.Second + 999*time.Millisecond:  "59s",
		time.Minute:                            "1m",
		3*time.Minute + 12*time.Second:         "3m12s",
		time.Hour + 59*time.Second:             "1h",
		23*time.Hour + 59*time.Minute:          "23h59m",
		26*time.Hour + 5*time.Minute:           "1d2h",
		400*24*time.Hour + 23*time.Hour + 1:    "400d23h",
		time.Duration(math.MaxInt64) / 1 * 1:   "106751d23h",
		1*time.Minute + 999*time.Millisecond:   "1m",
		59*time.Minute + 59999*time.Nanosecond: "59m",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%d) = %s, want %s", d, got, want)
		}
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := ago(now, time.Time{}); got != "-" {
		t.Errorf("zero time: %s", got)
	}
	if got := ago(now, now.Add(time.Second)); got != "0s ago" {
		t.Errorf("clock that went back: %s", got)
	}
}

func TestNumbersWithUnits(t *testing.T) {
	for _, test := range []struct {
		n           uint64
		count, size string
	}{
		{0, "0", "0 B"},
		{999, "999", "999 B"},
		{1000, "1000", "1.0 kB"},
		{99_999, "99999", "100.0 kB"},
		{100_000, "100.0k", "100.0 kB"},
		{999_949, "999.9k", "999.9 kB"},
		{999_950, "1.0M", "1.0 MB"},
		{123_456_789, "123.5M", "123.5 MB"},
		{98_765_432_109, "98.8G", "98.8 GB"},
		{math.MaxUint64, "18.4E", "18.4 EB"},
	} {
		if got := count(test.n); got != test.count {
			t.Errorf("count(%d) = %s, want %s", test.n, got, test.count)
		}
		if got := size(test.n); got != test.size {
			t.Errorf("size(%d) = %s, want %s", test.n, got, test.size)
		}
	}
	if got := microseconds(50) + " " + microseconds(1210); got != "50us 1.21ms" {
		t.Error(got)
	}
}

func TestQuantileIsTheBoundOfItsBucket(t *testing.T) {
	h := router.HistogramStatus{UpToUS: []int64{10, 100}, Counts: []uint64{99, 1, 0}, MaxUS: 70}
	for thousandths, want := range map[uint64]string{500: "<=10us", 990: "<=10us", 991: "<=70us", 1000: "<=70us"} {
		if got := quantile(h, 100, thousandths); got != want {
			t.Errorf("%d: %s, want %s", thousandths, got, want)
		}
	}
	h = router.HistogramStatus{UpToUS: []int64{10}, Counts: []uint64{0, 3}, MaxUS: 5000}
	if got := quantile(h, 3, 500); got != "<=5ms" {
		t.Errorf("beyond the last bound: %s", got)
	}
	if got := quantile(router.HistogramStatus{}, 0, 500); got != "-" {
		t.Errorf("no durations: %s", got)
	}
	if got := quantile(router.HistogramStatus{MaxUS: 1}, 5, 500); got != "<=1us" {
		t.Errorf("counts that do not add up: %s", got)
	}
}

func TestTableFitsTheScreen(t *testing.T) {
	draw := func(columns int, address string) string {
		s := &screen{columns: columns}
		tab := table{header: []string{"NAME", "DEVICE", "FOR", "WHAT"}, optional: []int{1, 2}}
		tab.add(text(strings.Repeat("n", 30)), text(strings.Repeat("d", 20)), text("3m"), text(address))
		tab.render(s)
		return s.String()
	}
	n, d := strings.Repeat("n", 30), strings.Repeat("d", 20)
	name := "NAME" + strings.Repeat(" ", 26)
	for _, test := range []struct {
		columns    int
		what, want string
	}{
		{0, "fits", name + "  DEVICE" + strings.Repeat(" ", 14) + "  FOR  WHAT\n" + n + "  " + d + "  3m   fits\n"},
		{0, strings.Repeat("w", 40), name + "  FOR  WHAT\n" + n + "  3m   " + strings.Repeat("w", 40) + "\n"},
		{
			0, strings.Repeat("w", 44) + " more",
			name + "  WHAT\n" + n + "  " + strings.Repeat("w", 44) + "\n" + strings.Repeat(" ", 32) + "more\n",
		},
		{
			120, strings.Repeat("w", 55),
			name + "  DEVICE" + strings.Repeat(" ", 14) + "  FOR  WHAT\n" + n + "  " + d + "  3m   " + strings.Repeat("w", 55) + "\n",
		},
	} {
		if got := draw(test.columns, test.what); got != test.want {
			t.Errorf("%d columns, %q: got\n%swant\n%s", test.columns, test.what, got, test.want)
		}
	}
}

func TestWrapKeepsWordsWhole(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "",
		"short":             "short",
		"ten runes!":        "ten runes!",
		"ten runes! and":    "ten runes!|and",
		"a longerthanten b": "a|longerthanten|b",
		"longerthanten":     "longerthanten",
		"äöüäöüäöü äöü":     "äöüäöüäöü|äöü",
	} {
		if got := strings.Join(wrap(text, 10), "|"); got != want {
			t.Errorf("wrap(%q): %q, want %q", text, got, want)
		}
	}
}
