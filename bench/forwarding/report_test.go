package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func sample() *report {
	o := &options{tests: tests[:4], routers: routers, rounds: 3, lasts: time.Second}
	rep := newReport(o)
	for round := range 3 {
		busy := []float64{1, 0.5, 0.9}[round] // the machine was not always the router's alone
		rep.add(tests[0], routers[0], round, 1_000_000*busy, nil)
		rep.add(tests[0], routers[1], round, 700_000*busy, nil)
		rep.add(tests[3], routers[0], round, 500/busy, nil)
		rep.add(tests[3], routers[1], round, 1000/busy, nil)
	}
	rep.failed[cell{tests[0].name, "af_xdp"}] = errors.New("AF_XDP needs CAP_BPF\nmore")
	return rep
}

// What slows a whole round down does not change the ratio.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	rep := sample()
	for at, want := range map[int]float64{0: 0.7, 3: 2} {
		middle, least, most, ok := rep.ratio(tests[at], routers[1])
		if !ok || math.Abs(middle-want) > 1e-9 || math.Abs(least-want) > 1e-9 || math.Abs(most-want) > 1e-9 {
			t.Errorf("%s: %v (%v to %v), %v; want %v", tests[at].name, middle, least, most, ok, want)
		}
	}
	if _, _, _, ok := rep.ratio(tests[0], routers[3]); ok {
		t.Error("a ratio of what was not measured")
	}
}

func TestMedians(t *testing.T) {
	for _, test := range []struct {
		values              []float64
		middle, least, most float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{4, 1}, 2.5, 1, 4},
		{[]float64{9, 1, 2}, 2, 1, 9},
		{[]float64{1, 2, 100, 3}, 2.5, 1, 100},
	} {
		values := map[int]float64{}
		for i, v := range test.values {
			values[i] = v
		}
		if middle, least, most, ok := spread(values); !ok || middle != test.middle || least != test.least || most != test.most {
			t.Errorf("%v: %v, %v, %v", test.values, middle, least, most)
		}
	}
}

func TestThePageTellsWhatIsMissing(t *testing.T) {
	page := sample().markdown()
	for _, want := range []string{"900,000", "**0.70** (0.70–0.70)", "**2.00**", "AF_XDP needs CAP_BPF\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "more\n") || strings.Contains(page, "%!") {
		t.Errorf("%s", page)
	}
}

func TestThePictureIsWellFormedAndHasAllBars(t *testing.T) {
	picture := sample().svg()
	d := xml.NewDecoder(strings.NewReader(picture))
	rects := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			rects++
		}
	}
	if rects != 1+2 { // the ground, and a bar of each test
		t.Errorf("%d rectangles:\n%s", rects, picture)
	}
}

func TestTheScaleIsEvenAndBounded(t *testing.T) {
	one := position(1)
	if math.Abs((position(2)-one)-(one-position(0.5))) > 1e-9 {
		t.Error("twice and half lie differently far from 1")
	}
	if position(1e-9) < svgLabel || position(1e9) > svgWidth-svgMargin {
		t.Error("a bar leaves the picture")
	}
}

func TestNumbersAreShort(t *testing.T) {
	for v, want := range map[float64]string{0.1234: "0.12", 9.876: "9.88", 12.34: "12.3", 123.4: "123", 1234567.8: "1,234,568", 0: "0.00"} {
		if got := number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestBurstsKeepARate(t *testing.T) {
	if got := burst(0, time.Second, 1e9); got != burstMax {
		t.Errorf("a flood waits: %d", got)
	}
	for _, test := range []struct {
		after time.Duration
		sent  uint64
		want  int
	}{
		{0, 0, 0},
		{time.Millisecond, 0, 10},
		{time.Millisecond, 10, 0},
		{time.Millisecond, 12, 0},
		{time.Second, 0, burstMax}, // after a stall not everything at once
	} {
		if got := burst(10_000, test.after, test.sent); got != test.want {
			t.Errorf("%v, %d sent: %d, want %d", test.after, test.sent, got, test.want)
		}
	}
}

func TestSchedstat(t *testing.T) {
	if got, ok := parseSchedstat("123456789 42 7\n"); !ok || got != 123456789 {
		t.Errorf("%v, %v", got, ok)
	}
	if _, ok := parseSchedstat(""); ok {
		t.Error("nothing is a number")
	}
	before := cpuTime{"a": 10, "b": 20}
	if got := (cpuTime{"a": 15, "c": 3}).since(before); got != 8 { // b has ended, c is new
		t.Errorf("%v", got)
	}
}

func TestIperf(t *testing.T) {
	if got, err := parseIperf(`{"end":{"sum_received":{"bits_per_second":2.5e9}}}`); err != nil || got != 2.5 {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "{}", `{"error":"unable to connect"}`} {
		if _, err := parseIperf(text); err == nil {
			t.Errorf("%q has a rate", text)
		}
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-tests", "flood,rtt", "-routers", "kernel"}, io.Discard)
	if err != nil || len(o.tests) != 2 || len(o.routers) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range [][]string{{"-tests", "flud"}, {"-routers", "bsd"}, {"-rounds", "0"}, {"-time", "1ms"}, {"more"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%v accepted", args)
		}
	}
}
