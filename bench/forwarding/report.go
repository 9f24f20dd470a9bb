package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is what was measured.
type report struct {
	began   time.Time
	options *options
	values  map[cell]map[int]float64 // by round
	failed  map[cell]error           // the first failure: the router is not asked again
	busy    float64                  // the machine's load when it began
}

type cell struct{ test, router string }

func newReport(o *options) *report {
	return &report{
		began: time.Now(), options: o, busy: load(),
		values: map[cell]map[int]float64{}, failed: map[cell]error{},
	}
}

// load is the first figure of /proc/loadavg; 0 where that cannot be read.
func load() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	value, _ := strconv.ParseFloat(first, 64)
	return value
}

func (rep *report) add(t *test, r *router, round int, value float64, err error) {
	c := cell{t.name, r.name}
	if err != nil {
		rep.failed[c] = err
		fmt.Fprintf(os.Stderr, "%s, %s: %v\n", t.name, r.name, err)
		return
	}
	if rep.values[c] == nil {
		rep.values[c] = map[int]float64{}
	}
	rep.values[c][round] = value
}

// missing reports whether a router cannot do a test: it has failed before, and
// never succeeded.
func (rep *report) missing(t *test, r *router) bool {
	c := cell{t.name, r.name}
	return rep.failed[c] != nil && len(rep.values[c]) == 0
}

// median returns the middle value of a router, and how far its values lie apart.
func (rep *report) median(t *test, r *router) (middle, least, most float64, ok bool) {
	return spread(rep.values[cell{t.name, r.name}])
}

// ratio returns the middle of the rounds' ratios to the kernel.
func (rep *report) ratio(t *test, r *router) (middle, least, most float64, ok bool) {
	kernel := rep.values[cell{t.name, "kernel"}]
	ratios := map[int]float64{}
	for round, value := range rep.values[cell{t.name, r.name}] {
		if of := kernel[round]; of > 0 {
			ratios[round] = value / of
		}
	}
	return spread(ratios)
}

// spread returns the median, the least and the greatest of values.
func spread(values map[int]float64) (middle, least, most float64, ok bool) {
	if len(values) == 0 {
		return 0, 0, 0, false
	}
	var list []float64
	for _, v := range values {
		list = append(list, v)
	}
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2, list[0], list[n-1], true
}

// lines is the table of a test for the terminal.
func (rep *report) lines(t *test) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s (%s)\n", t.what, t.unit)
	for _, r := range rep.options.routers {
		middle, _, _, ok := rep.median(t, r)
		if !ok {
			fmt.Fprintf(&b, "  %-10s  not measured: %v\n", r.name, firstLine(rep.failed[cell{t.name, r.name}]))
			continue
		}
		fmt.Fprintf(&b, "  %-10s %14s", r.name, number(middle))
		if ratio, least, most, ok := rep.ratio(t, r); ok && r.name != "kernel" {
			fmt.Fprintf(&b, "   %6.2f of the kernel's (%.2f to %.2f)", ratio, least, most)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func firstLine(err error) string {
	if err == nil {
		return "no round"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// number writes a value with three digits that count.
func number(v float64) string {
	switch {
	case v >= 1000:
		text := strconv.FormatFloat(v, 'f', 0, 64)
		for at := len(text) - 3; at > 0; at -= 3 {
			text = text[:at] + "," + text[at:]
		}
		return text
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// write leaves the files.
func (rep *report) write(o *options) error {
	if o.output != "" {
		if err := os.MkdirAll(filepath.Dir(o.output), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(o.output+".csv", rep.csv(), 0o644); err != nil {
			return err
		}
	}
	if o.page == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(o.page, "forwarding.md"), []byte(rep.markdown()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.page, "forwarding.svg"), []byte(rep.svg()), 0o644)
}

// csv has every value.
func (rep *report) csv() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"test", "unit", "router", "round", "value"})
	for _, t := range rep.options.tests {
		for _, r := range rep.options.routers {
			for round := range rep.options.rounds {
				if v, ok := rep.values[cell{t.name, r.name}][round]; ok {
					w.Write([]string{t.name, t.unit, r.name, strconv.Itoa(round + 1), strconv.FormatFloat(v, 'g', 6, 64)})
				}
			}
		}
	}
	w.Flush() // into memory
	return b.Bytes()
}

const pageHead = `# Forwarding figures

vrouter beside the kernel's own forwarding, in the same network, in the same run. This page is written by the program that measures, ` + "`make bench`" + `.

![packets, CPU time, TCP and round trips, the kernel being 1](forwarding.svg)

`

const pageMethod = `
## How it is measured

` + "```" + `%s` + "```" + `

- Everything is in network namespaces, joined by veth pairs. No root where user namespaces suffice; AF_XDP needs it (its program on the device).
- A round gives everybody a turn, one after the other, with networks of their own; the order changes from round to round. Figures are medians; ratios are medians of the rounds' ratios, with the least and the greatest beside them. The machine is shared: ratios count, numbers do not.
- **Flood**: frames of 64 bytes (with the checksum of the wire) by AF_XDP in copy mode from one thread on CPU 0; the router's processes are on CPU 1. In-kernel forwarding runs in the sender's time, on CPU 0. What arrives is counted at the sink's device, behind which a rule drops it.
- **Rate**: bisection for the highest rate at which at most 0.1 %% is lost. Each rate has four tries: one preemption of a millisecond loses more than that.
- **CPU time of a packet**: of the sender's thread (with the softirqs it ran), all threads of the router, and ksoftirqd, by the scheduler's clock, for each packet that arrived; what the sender and the sink cost without a router, measured in each round, is taken off. At 10,000 packets/s the sender sleeps between packets; elsewhere it does not.
- **Round trip**: ICMP echoes, one each millisecond, from a thread that spins; the sink's kernel answers in the softirq.
- **TCP**: iperf3, offloads as they come, nobody is pinned: four parties share %d CPUs.
`

// markdown is the page.
func (rep *report) markdown() string {
	var b strings.Builder
	b.WriteString(pageHead)
	fmt.Fprintf(&b, "Measured on %s: Linux %s, %d CPUs, %s; %d rounds of %v. The machine's load was %.1f when it began.\n\n",
		rep.began.UTC().Format("2006-01-02"), kernelRelease(), runtime.NumCPU(), runtime.Version(),
		rep.options.rounds, rep.options.lasts, rep.busy)
	b.WriteString("| |")
	for _, r := range rep.options.routers {
		fmt.Fprintf(&b, " %s |", r.what)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(rep.options.routers)) + "\n")
	for _, t := range rep.options.tests {
		fmt.Fprintf(&b, "| %s, %s |", t.what, t.unit)
		for _, r := range rep.options.routers {
			b.WriteString(" " + rep.entry(t, r) + " |")
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, pageMethod, picture, runtime.NumCPU())
	b.WriteString("\n## To repeat it\n\n```\nmake bench                                      # this page, and docs/bench/forwarding.svg\n" +
		"make bench FLAGS=\"-tests flood,cost -rounds 3\"  # a part, on the terminal\n```\n")
	for _, t := range rep.options.tests {
		for _, r := range rep.options.routers {
			if err := rep.failed[cell{t.name, r.name}]; err != nil {
				fmt.Fprintf(&b, "\nNot measured in a round: %s, %s: %s\n", t.what, r.what, firstLine(err))
			}
		}
	}
	return b.String()
}

// entry is a field of the page's table.
func (rep *report) entry(t *test, r *router) string {
	middle, _, _, ok := rep.median(t, r)
	if !ok {
		return "–"
	}
	text := number(middle)
	if ratio, least, most, ok := rep.ratio(t, r); ok && r.name != "kernel" {
		text += fmt.Sprintf("<br>**%.2f** (%.2f–%.2f)", ratio, least, most)
	}
	return text
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Release[:])
}
