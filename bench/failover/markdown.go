package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const pageHead = `# Failover figures

What a failure or a planned change of one of two redundant routers costs the traffic through them: vrouter beside keepalived and FRR's vrrpd, in the same network, in the same run. This page is written by the program that measures, ` + "`make bench-failover`" + `.

`

const pageMethod = `
## How it is measured

` + "```" + `%s` + "```" + `

- Both routers run the same daemon. Router 1 has priority 200, router 2 has 100; both sides of the routers have a virtual router in each family, so that the way back depends on VRRP as well. Bridges are the switches. All of it is in network namespaces.
- Four streams of 1000 UDP packets a second: LAN to WAN and back, IPv4 and IPv6. Packets are numbered, and stamped by the kernel when they arrive: what the meter itself is late with is no loss. **lost** and **dup** (further copies) are those of the four streams together, so 4 is one millisecond of all traffic.
- **gap** is the longest interruption of a stream: from the sending of the first packet that does not arrive at once to the arrival of the next. Where nothing happens it is the time that a packet takes.
- **owners**: 50 times a second somebody in the LAN asks by ARP and by neighbour solicitation who has the gateway's address. The figure is the most routers that answered one question; the switches' ports tell who it was, not the MAC in the answer. **together** is for how long there was more than one, within the time that was watched.
- Before each repetition all is well: router 1 alone advertises everywhere and alone answers, every packet arrives. Afterwards the same must hold of the router that is to be the master, for 1 s and 3 intervals; else the row says "not well again" (after 6 s and 6 intervals). That the event happened is checked: the process is gone or stands, the carrier is away, advertisements were dropped, packets were lost.
- vrouter forwards in user space: on a machine that others keep busy its packets wait for a CPU, which the row in which nothing happens shows. The kernel forwards for the others, whatever else runs.
- A repetition that cannot be judged is repeated, and counted: the meter's sender was late by more than 40 ms (300 ms when a daemon is thawed), its receiver ran out of memory, the wall clock was set, the event left no trace.
- "miss 2/5" means that two of five repetitions did not reach the target: one is enough for a miss.

skew is the time of RFC 9568 that a backup waits after priority 0, %s of an interval here; a silent master is missed after 3 intervals and the skew time.

`

// markdown is the page with all that was measured.
func (rep *report) markdown() string {
	var b strings.Builder
	b.WriteString(pageHead)
	fmt.Fprintf(&b, "Measured on %s, from %s to %s UTC.\n\n", rep.begin.UTC().Format("2006-01-02"),
		rep.begin.UTC().Format("15:04"), rep.end.UTC().Format("15:04"))
	if rep.note != "" {
		b.WriteString(rep.note + "\n\n")
	}
	for _, line := range rep.headLines() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	fmt.Fprintf(&b, "- %s\n", rep.loadLine())
	for _, k := range kinds {
		if rep.versions[k.name] != "" {
			fmt.Fprintf(&b, "- %s is set up with: %s.\n", k.title, k.about)
		}
	}
	fmt.Fprintf(&b, pageMethod, picture, fmt.Sprintf("%.2f", float64(skew(time.Second))/float64(time.Second)))
	b.WriteString("## To repeat it\n\n" + rep.howTo() + "\n")
	b.WriteString(rep.summaryTable())
	b.WriteString("## Every row\n\nMedian / worst of the repetitions; one number where they are the same.\n")
	rep.sections(&b)
	b.WriteString(rep.repeated())
	return b.String()
}

func (rep *report) howTo() string {
	return "```\nmake bench-failover                                       everything, as on this page\n" +
		"go run ./bench/failover -events kill,stop -intervals 100ms -repeat 5 -daemons vrouter,keepalived -v\n```\n\n" +
		"It needs Linux and Go; keepalived, FRR, ping and nftables for their parts, and root for FRR alone. Nothing outside its namespaces is touched. Each repetition is in `build/failover.json` and `build/failover.csv`.\n"
}

// summaryTable shows the gap of each event at each interval, and what else
// went wrong.
func (rep *report) summaryTable() string {
	var b strings.Builder
	b.WriteString("## In short\n\nThe gap in milliseconds at each interval, median / worst; in brackets the worst of what else was not 0: l lost (where none is to be lost), d duplicates, o owners at one time.\n\n")
	measured, intervals := rep.measured(), rep.intervals()
	b.WriteString("| event, intervals " + strings.Join(texts(intervals), ", ") + " |")
	for _, k := range measured {
		b.WriteString(" " + k.title + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(measured)) + "\n")
	for _, e := range rep.events() {
		b.WriteString("| " + e.title + " |")
		for _, k := range measured {
			var cells []string
			for _, interval := range intervals {
				cells = append(cells, rep.find(e, k, interval).inShort())
			}
			b.WriteString(" " + strings.Join(cells, "; ") + " |")
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

// inShort is the worst of a row in a few characters.
func (w *row) inShort() string {
	if w == nil || len(w.Results) == 0 {
		return "-"
	}
	text := spreadOf(w.Results, gapOf).String()
	if w.unsettled() > 0 {
		text = "not well again"
	}
	var also []string
	planned := w.event.target != nil && w.event.target(w.interval).lost == 0
	if v := spreadOf(w.Results, lostOf).Worst; v > 0 && planned {
		also = append(also, "l "+number(v))
	}
	if v := spreadOf(w.Results, duplicatesOf).Worst; v > 0 {
		also = append(also, "d "+number(v))
	}
	if v := spreadOf(w.Results, ownersOf).Worst; v > 1 {
		also = append(also, "o "+number(v))
	}
	if len(also) > 0 {
		text += " (" + strings.Join(also, ", ") + ")"
	}
	return text
}

// sections writes a table for each event.
func (rep *report) sections(b *strings.Builder) {
	for _, e := range rep.events() {
		fmt.Fprintf(b, "\n### %s\n\n| interval | | lost | gap ms | dup | owners | together ms | to reach | |\n|---|---|---|---|---|---|---|---|---|\n", e.title)
		for _, w := range rep.inOrder() {
			if w.event == e {
				fmt.Fprintf(b, "| %v | %s | %s | %s | %s |\n", w.interval, w.kind.title, strings.Join(w.cells(), " | "), w.targetText(), w.verdict())
			}
		}
	}
}

// repeated lists what had to be done again.
func (rep *report) repeated() string {
	var b strings.Builder
	judged, again := 0, 0
	for _, w := range rep.inOrder() {
		judged += len(w.Results)
		again += len(w.Failures)
		if len(w.Results) < rep.repeat {
			last := "interrupted"
			if len(w.Failures) > 0 {
				last, _, _ = strings.Cut(w.Failures[len(w.Failures)-1], "\n")
			}
			fmt.Fprintf(&b, "- %s, %v, %s: only %d of %d repetitions could be judged; last: %s\n",
				w.event.id, w.interval, w.kind.title, len(w.Results), rep.repeat, last)
		}
	}
	return fmt.Sprintf("\n## Repeated\n\n%d repetitions are in the figures; %d were repeated because they could not be judged or the network did not come to rest.\n\n%s",
		judged, again, b.String())
}

// measured returns the kinds that have rows.
func (rep *report) measured() (list []*kind) {
	for _, k := range kinds {
		if rep.versions[k.name] != "" {
			list = append(list, k)
		}
	}
	return list
}

// events returns the events that have rows.
func (rep *report) events() (list []*event) {
	for _, e := range events {
		for _, w := range rep.rows {
			if w.event == e {
				list = append(list, e)
				break
			}
		}
	}
	return list
}

// intervals returns the intervals of the rows, the shortest first.
func (rep *report) intervals() (list []time.Duration) {
	for _, w := range rep.inOrder() {
		if !slices.Contains(list, w.interval) {
			list = append(list, w.interval)
		}
	}
	slices.Sort(list)
	return list
}

func texts(list []time.Duration) (names []string) {
	for _, d := range list {
		names = append(names, d.String())
	}
	return names
}

func (rep *report) find(e *event, k *kind, interval time.Duration) *row {
	for _, w := range rep.rows {
		if w.event == e && w.kind == k && w.interval == interval {
			return w
		}
	}
	return nil
}
