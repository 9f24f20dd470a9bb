package demo

import (
	"errors"
	"strings"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return t0.Add(time.Duration(seconds * float64(time.Second)))
}

// A run of three events: start, crash, start again.
func sample() *report {
	return &report{
		start: t0,
		end:   at(6),
		masters: []change{
			{at(0.5), "lan4", "r1"},
			{at(2.35), "lan4", "r2"},
			{at(4.5), "lan4", "r1"},
		},
		spans: []span{{"r2", true, at(0)}, {"r1", true, at(0)}, {"r1", false, at(2)}, {"r1", true, at(4)}},
		results: []result{
			{at: 0, title: "both routers started", to: "r1", moved: 500 * time.Millisecond, planned: true, setup: true},
			{
				at: 2 * time.Second, title: "r1 crashed (kill -9)", from: "r1", to: "r2", moved: 350 * time.Millisecond,
				loss: [2]netlab.Loss{{Sent: 900, Lost: 348, Gap: 348 * time.Millisecond}, {Sent: 900, Lost: 351, Gap: 352 * time.Millisecond}},
			},
			{
				at: 4 * time.Second, title: "r1 started again", from: "r2", to: "r1", moved: 500 * time.Millisecond, planned: true,
				loss: [2]netlab.Loss{{Sent: 800}, {Sent: 800, Duplicates: 2}},
			},
		},
	}
}

const sampleText = `
WHO WAS MASTER  (M master, b backup, . not there; one character is a quarter of a second)

  seconds  0                   5
  r1       bbMMMMMM........bbMMMMMMM
  r2       bbbbbbbbbMMMMMMMMMbbbbbbb

TIMELINE

     when   what happened            master             IPv4 lost              IPv6 lost
    0.0 s   both routers started     r1, 500 ms         -                      -
    2.0 s   r1 crashed (kill -9)     r1 -> r2, 350 ms   348 packets, 348 ms    351 packets, 352 ms
    4.0 s   r1 started again         r2 -> r1, 500 ms   0                      0 (2 twice)

SUMMARY

  Unplanned (crash, cables): the other router took over the gateway's addresses by
  itself; the hosts were without service for 352 ms at most.
  Planned (stop, start): not one packet was lost.

  PASSED: traffic flowed again each time, in IPv4 and IPv6, and each time exactly one
  router answered for the gateway's addresses.
`

func TestReportReadsLikeThis(t *testing.T) {
	if got := sample().String(); got != sampleText {
		t.Errorf("got\n%s\nwant\n%s", got, sampleText)
	}
}

func TestReportFailsWhereTheDemoEndedEarly(t *testing.T) {
	r := sample()
	r.err = errors.New("r1 ended by itself")
	if err := r.verdict(); err == nil || !strings.Contains(r.String(), "FAILED: r1 ended by itself") {
		t.Errorf("verdict %v\n%s", err, r)
	}
}

func TestReportFailsOnALongGapOfEitherFamily(t *testing.T) {
	for family, name := range []string{"IPv4", "IPv6"} {
		r := sample()
		r.results[1].loss[family] = netlab.Loss{Lost: 3100, Gap: 3100 * time.Millisecond}
		err := r.verdict()
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "3100 ms") {
			t.Errorf("%s: verdict %v", name, err)
		}
		if strings.Contains(r.String(), "PASSED") {
			t.Errorf("%s: a failed run says PASSED", name)
		}
	}
}

func TestLossBeforeTheFirstStartIsNone(t *testing.T) {
	r := sample()
	r.results[0].loss[0] = netlab.Loss{Lost: 9000, Gap: 9 * time.Second}
	if err := r.verdict(); err != nil {
		t.Errorf("verdict %v: there was no service before the first start", err)
	}
}

func TestScreenKeepsOneLiveLineOnATerminal(t *testing.T) {
	var b strings.Builder
	s := &screen{out: &b, terminal: true}
	s.live(time.Second, "", 1, 2, "waiting")
	s.live(time.Second, "", 1, 2, "too early for another")
	s.step(2*time.Second, "next")
	want := "\r\x1b[K\x1b[2m  1.0 s  master: --   came back: IPv4      1  IPv6      2   waiting\x1b[0m" +
		"\r\x1b[K  2.0 s  \x1b[1mnext\x1b[0m\n"
	if b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
}

func TestScreenWritesPlainLinesElsewhere(t *testing.T) {
	var b strings.Builder
	s := &screen{out: &b}
	s.step(time.Second, "killing r1")
	s.live(time.Second, "r1", 1, 2, "too early")
	s.last = time.Now().Add(-aliveEvery)
	s.live(3*time.Second, "r1", 10, 20, "killing r1")
	s.outcome(sample().results[1])
	want := "  1.0 s  killing r1\n" +
		"  3.0 s  master: r1   came back: IPv4     10  IPv6     20   killing r1\n" +
		"         master: r2 after 350 ms   IPv4: 348 packets lost in 348 ms   IPv6: 351 packets lost in 352 ms\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
