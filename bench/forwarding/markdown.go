package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// markdown is the page in docs.
func (rep *report) markdown(o *options) string {
	var b strings.Builder
	b.WriteString("# Forwarding figures\n\nHow fast vrouter forwards with each kind of port, beside the kernel's own forwarding and, where they were installed, DPDK's programs: in the same network, in turn, in the same run. This page is written by the program that measures, `make bench`.\n\n")
	fmt.Fprintf(&b, "Measured on %s, from %s to %s UTC.\n\n", rep.Start.UTC().Format("2006-01-02"), rep.Start.UTC().Format("15:04"), rep.End.UTC().Format("15:04"))
	for _, line := range append(rep.headLines(), rep.loadLine()) {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	for _, n := range rep.Notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	if o.picture != "" && filepath.Dir(o.picture) == filepath.Dir(o.page) {
		fmt.Fprintf(&b, "\n![Forwarding rates and CPU time in ratio to the kernel](%s)\n", filepath.Base(o.picture))
	}
	rep.summary(&b)
	for _, m := range measures {
		rep.section(&b, m)
	}
	b.WriteString(method)
	if len(rep.Errors) > 0 {
		b.WriteString("\n## What failed\n\n")
		for _, e := range rep.Errors {
			fmt.Fprintf(&b, "- %s\n", firstWords(fmt.Errorf("%s", e)))
		}
	}
	return b.String()
}

func (rep *report) loadLine() string {
	if len(rep.Load) == 0 {
		return "load average not known"
	}
	return fmt.Sprintf("load average %.1f to %.1f, median %.1f, with the measurement's own", slices.Min(rep.Load), slices.Max(rep.Load), median(rep.Load))
}

// summary is the table of all measures: ratios, or where there is none the
// figure itself.
func (rep *report) summary(b *strings.Builder) {
	b.WriteString("\n## In short\n\nMedians of the rounds. Ratios are to the kernel in the same round; in bold what reaches vrouter's goal, with a cross what does not.\n\n| |")
	for _, k := range rep.present {
		fmt.Fprintf(b, " %s |", k.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(rep.present)) + "\n")
	for _, m := range measures {
		rows := rep.rows(m)
		if len(rows) == 0 {
			continue
		}
		unit := "ratio"
		if m.only {
			unit = m.unit
		}
		fmt.Fprintf(b, "| %s, %s |", m.title, unit)
		for _, k := range rep.present {
			i := slices.IndexFunc(rows, func(r row) bool { return r.kind == k })
			if i < 0 {
				b.WriteString(" – |")
				continue
			}
			fmt.Fprintf(b, " %s |", rows[i].cell(m))
		}
		b.WriteString("\n")
	}
}

// cell is a row in the summary.
func (r row) cell(m *measure) string {
	text := number(r.value)
	if !m.only {
		text = fmt.Sprintf("%.2f", r.ratio)
	}
	switch {
	case m.goal(r.kind.name) == "":
		return text
	case m.reached(r):
		return "**" + text + "**"
	}
	return text + " ✗"
}

func (rep *report) section(b *strings.Builder, m *measure) {
	rows := rep.rows(m)
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n| router | %s | smallest to largest | ratio to the kernel | goal | rounds |\n|---|--:|--:|--:|--:|--:|\n", m.title, m.unit)
	for _, r := range rows {
		goal := m.goal(r.kind.name)
		if goal != "" {
			goal += ", " + verdict(m, r)
		}
		ratio := "–"
		if !m.only {
			ratio = r.ratioText()
		}
		fmt.Fprintf(b, "| %s | %s | %s to %s | %s | %s | %d |\n", r.kind.title, number(r.value), number(r.from), number(r.to), ratio, goal, r.rounds)
	}
}

const method = "\n## How it is measured\n\n```" + picture + "```\n" + `
- A turn sets up fresh namespaces, starts the router, waits until it forwards, and takes all of it down. In each round every router has its turn, and another one is the first. A ratio is that of two turns of one round; the figures are medians.
- The sender has CPU 0, the router's processes have CPU 1. The sender is a thread that puts frames into an AF_XDP socket in copy mode, so that the router's device gets ordinary packets, as from a container. On a veth pair the receiving softirq runs in the sender's time: a router in the kernel does all of its work there, loses nothing, and holds the sender up instead.
- Packets count when the receiver's device has taken them. Its kernel then drops them at once (nftables on ingress). Before that, a look at some of them: the TTL must be one less.
- **Rate with at most 0.1 % loss**: by halving, beginning near what arrives of a flood; a trial is repeated once, because a millisecond in which the machine does something else fails it. On a busy machine take this row for a lower bound.
- **CPU time of a packet**: by the scheduler's clock. The sender's thread for each packet sent (with it the softirqs that run in its time), all threads of all of the router's processes (guardian and BGP process too) and of ksoftirqd for each packet that arrived; what the bare cable costs in the same round is taken off. At 10,000 packets a second only the sender's time inside the kernel counts. The kernel's own count of softirqs is the last table: it has those of everybody on the machine.
- **Round trip**: echo requests, answered by the receiver's kernel; the prober spins on CPU 0.
- **TCP**: iperf3 with the devices' offloads as they are by default; nothing is pinned, four parties share the CPUs.
- **CPU time while nothing happens** is that of all of the router's processes.
- What takes part runs at a raised priority where that is allowed. vrouter on TAP is joined to its cables by Linux bridges, whose time counts as its own.

## To repeat it

` + "```" + `
make bench                                                                everything, as on this page
go run ./bench/forwarding -routers vrouter-af_packet -tests pps,cost -rounds 3
` + "```" + `

It needs Linux and Go; nftables, iperf3, and for their rows DPDK's programs (dpdk-testpmd, l3fwd). AF_XDP and DPDK need root; the rest runs in user namespaces. Nothing outside its namespaces is touched. Each figure of each round is in [forwarding.csv](forwarding.csv).
`
