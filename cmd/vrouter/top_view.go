package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"vrouter/router"
)

// block is a part of the screen, drawn: its header, and its rows, each with
// the notes under it.
type block struct {
	part   part
	header string
	rows   []string
}

// lines draws the screen: as many lines as it has, or with height 0 all.
func (m *topModel) lines(width, height int, colour bool, now time.Time) []string {
	s := &screen{colour: colour, columns: width}
	head := m.head(s, now)
	if m.last == nil {
		return append(head, "", "waiting for the router ...")
	}
	var sections []block
	for _, draw := range []func(*screen, time.Time) block{
		m.routersSection, m.interfacesSection, m.workersSection, m.lossesSection, m.eventsSection,
	} {
		c := draw(&screen{colour: colour, columns: width}, now)
		if m.only == partAll || m.only == c.part {
			sections = append(sections, c)
		}
	}
	if height == 0 {
		return append(head, whole(sections)...)
	}
	foot := s.paint(m.keys(width), faint)
	room := height - len(head) - 1
	var body []string
	if m.only == partAll {
		body = fitted(sections, room, s)
	} else {
		body = m.scrolled(sections[0], room, s)
	}
	for len(body) < room {
		body = append(body, "")
	}
	return append(append(head, body[:max(0, room)]...), foot)
}

// keys are the last line.
func (m *topModel) keys(width int) string {
	const text = "q quit  p pause  s sort  1-5 one part  0 all  +/- interval"
	if m.only != partAll {
		return "up/down scroll  0 all  q quit"
	}
	return text[:min(len(text), max(0, width))]
}

// whole draws everything, for a screen without an end.
func whole(sections []block) (list []string) {
	for _, c := range sections {
		list = append(append(list, "", c.header), c.rows...)
	}
	return list
}

// fitted draws all sections into so many lines.
func fitted(sections []block, room int, s *screen) (list []string) {
	// A blank line before each section, where there is room for all of it.
	needed, blank := 0, false
	wants := make([]int, len(sections))
	for i, c := range sections {
		wants[i] = len(c.rows)
		needed += 2 + len(c.rows)
	}
	spare := room - len(sections)
	const comfortable = 30
	if needed <= room || room >= comfortable {
		blank, spare = true, spare-len(sections)
	}
	for i, n := range share(spare, wants) {
		c := sections[i]
		if blank {
			list = append(list, "")
		}
		list = append(list, c.header)
		if rest := len(c.rows) - n; rest > 0 && n > 1 { // the only row is of more use than the hint
			list = append(list, c.rows[:n-1]...)
			list = append(list, s.paint(fmt.Sprintf("  ... %d more: press %d", rest+1, c.part), faint))
			continue
		}
		list = append(list, c.rows[:n]...)
	}
	return list
}

// scrolled draws one section from the offset on, which it keeps inside.
func (m *topModel) scrolled(c block, room int, s *screen) []string {
	visible := max(1, room-3) // the header, a line above it and one below the rows
	m.offset = max(0, min(m.offset, len(c.rows)-visible))
	end := min(len(c.rows), m.offset+visible)
	list := append([]string{"", c.header}, c.rows[m.offset:end]...)
	if m.offset > 0 || end < len(c.rows) {
		list = append(list, s.paint(fmt.Sprintf("  %d to %d of %d lines", m.offset+1, end, len(c.rows)), faint))
	}
	return list
}

// head are the first lines: who, when, and all traffic together.
func (m *topModel) head(s *screen, now time.Time) []string {
	left := s.paint("vrouter top", bold) + "  " + printable(m.source)
	right := "every " + m.interval.String()
	if m.paused {
		right = s.paint("paused", warn) + "  " + right
	}
	lines := []string{left + "  " + now.Format("15:04:05") + "  " + right}
	l := &m.load
	drops := cell{rate(l.drops) + "/s", plain}
	if l.drops > 0 {
		drops.style = warn
	}
	sum := fmt.Sprintf("in %s pps %sb/s  out %s pps %sb/s  dropped ", rate(l.in), bitRate(l.inBits), rate(l.out), bitRate(l.outBits))
	used := len(sum) + len(drops.text) + 2
	total := sum + s.paint(drops.text, drops.style)
	if room := s.columns - used; room >= 10 {
		total += "  " + sparks(m.history, min(room, historyKept))
	}
	lines = append(lines, total)
	if m.problem != nil {
		lines = append(lines, s.paint("no answer: "+m.problem.Error(), bad))
	}
	return lines
}

// sparks draws the last values as bars of a height in proportion to the highest.
func sparks(history []perSecond, width int) string {
	const bars = "▁▂▃▄▅▆▇█"
	levels := []rune(bars)
	history = history[max(0, len(history)-width):]
	if len(history) == 0 {
		return ""
	}
	top := max(slices.Max(history), 1)
	var b strings.Builder
	for _, v := range history {
		b.WriteRune(levels[min(len(levels)-1, int(float64(max(v, 0))/float64(top)*float64(len(levels)-1)+0.5))])
	}
	return b.String()
}

// finish renders a table as a section. What has no rows says so.
func (t *table) finish(p part, s *screen, none string) block {
	t.render(s)
	lines := strings.Split(strings.TrimSuffix(s.String(), "\n"), "\n")
	c := block{p, lines[0], lines[1:]}
	if len(t.rows) == 0 {
		c.rows = []string{s.paint("  "+none, faint)}
	}
	return c
}

func (m *topModel) routersSection(s *screen, now time.Time) block {
	t := table{
		header:   []string{"VIRTUAL ROUTER", "INTERFACE", "VRID", "STATE", "PRIO", "MASTER", "FOR", "ADDRESSES"},
		right:    []int{2},
		optional: []int{1, 2, 7},
	}
	for _, v := range m.routers() {
		r := t.add(
			text(v.Name), text(v.Interface), text(strconv.Itoa(int(v.VRID))), stateCell(v), text(priority(v)),
			text(master(v)), text(lasting(now, v.Since)), text(firstAddress(v)),
		)
		r.notes = problems(v, now)
	}
	return t.finish(partRouters, s, "none configured")
}

func (m *topModel) interfacesSection(s *screen, _ time.Time) block {
	t := table{
		header: []string{
			"INTERFACE", "DEVICE", "ATTACH", "STATE", "IN PPS", "IN b/s", "OUT PPS", "OUT b/s",
			"LOST IN", "LOST OUT", "RX PKTS", "RX BYTES", "TX PKTS", "TX BYTES",
		},
		right:    []int{4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
		optional: []int{13, 12, 11, 10, 2, 1},
	}
	list := m.interfaces()
	for i := range list {
		n := &list[i]
		state := cell{"up", good}
		if !n.Up {
			state = cell{"down", bad}
		}
		r := t.add(
			text(n.Name), text(n.Device), text(n.Attach), state,
			text(rate(n.rxPackets)), text(bitRate(n.rxBits)), text(rate(n.txPackets)), text(bitRate(n.txBits)),
			lossRate(n.rxLost), lossRate(n.txLost),
			text(count(n.RX.Packets)), text(size(n.RX.Bytes)), text(count(n.TX.Packets)), text(size(n.TX.Bytes)),
		)
		if n.Problem != "" {
			r.notes = []cell{{n.Problem, bad}}
		}
	}
	return t.finish(partInterfaces, s, "none configured")
}

func (m *topModel) workersSection(s *screen, _ time.Time) block {
	t := table{
		header: []string{
			"WORKER", "BUSY", "", "FWD PPS", "PUNTED", "DROPPED", "LOST IN", "LOST OUT", "BATCH", "FRAME", "READ PPS", "FORWARDED",
		},
		right:    []int{1, 3, 4, 5, 6, 7, 8, 9, 10, 11},
		optional: []int{11, 10, 2},
	}
	for i := range m.load.workers {
		w := &m.load.workers[i]
		busy := cell{fmt.Sprintf("%.1f%%", w.busy), plain}
		if w.busy >= fullyBusy {
			busy.style = warn
		}
		perBatch, perFrame := "-", "-"
		if w.perBatch >= 0 {
			perBatch = fmt.Sprintf("%.1f", w.perBatch)
		}
		if w.perFrame >= 0 {
			perFrame = nanoseconds(w.perFrame)
		}
		t.add(
			text(strconv.Itoa(w.Worker)), busy, cell{gauge(float64(w.busy)), busy.style}, text(rate(w.forwarded)),
			text(rate(w.punted)), lossRate(w.dropped), lossRate(w.lostIn), lossRate(w.lostOut),
			text(perBatch), text(perFrame), text(rate(w.frames)), text(count(w.Forwarded)),
		)
	}
	return t.finish(partWorkers, s, "none")
}

func (m *topModel) lossesSection(s *screen, _ time.Time) block {
	t := table{header: []string{"DROPPED FOR", "A SECOND", "TOTAL"}, right: []int{1, 2}}
	for _, l := range m.load.losses {
		t.add(text(l.name), lossRate(l.rate), text(count(l.total)))
	}
	return t.finish(partLosses, s, "nothing")
}

// eventsSection has the newest first.
func (m *topModel) eventsSection(s *screen, now time.Time) block {
	t := table{header: []string{"EVENT", "KIND", "NAME", "WHAT"}}
	for _, e := range slices.Backward(m.events) {
		t.add(text(eventAge(e, now)), text(e.Kind), text(e.Name), cell{eventText(e), eventStyle(e)})
	}
	return t.finish(partEvents, s, "none")
}

// eventAge is when an event was: the time of today, else the day.
func eventAge(e router.Event, now time.Time) string {
	at := e.Time.In(now.Location())
	if now.Sub(at) < 24*time.Hour {
		return at.Format("15:04:05")
	}
	return at.Format("2006-01-02")
}

// rate writes events a second; "-" where that is not known.
func rate(r perSecond) string {
	switch {
	case r < 0:
		return "-"
	case r > 0 && r < 10:
		return strconv.FormatFloat(float64(r), 'f', 1, 64)
	}
	return count(uint64(math.Round(float64(r))))
}

// bitRate writes bits a second with a decimal prefix; its unit is the column's.
func bitRate(r perSecond) string {
	if r < 0 {
		return "-"
	}
	n := uint64(math.Round(float64(r)))
	if n < 1000 {
		return strconv.FormatUint(n, 10)
	}
	return scaled(n, "")
}

// nanoseconds writes the time of a frame: "850 ns", "18.9 us".
func nanoseconds(ns float64) string {
	const thousand, few = 1000, 9999.5
	switch {
	case ns < few:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < few*thousand/10:
		return fmt.Sprintf("%.1f us", ns/thousand)
	}
	return fmt.Sprintf("%.1f ms", ns/thousand/thousand)
}

// lossRate is a rate that ought to be zero.
func lossRate(r perSecond) cell {
	c := text(rate(r))
	if r > 0 {
		c.style = warn
	}
	return c
}

// gauge draws a share, in percent.
func gauge(percent float64) string {
	const columns = 20
	full := int(min(max(percent, 0), 100)/100*columns + 0.5)
	return strings.Repeat("█", full) + strings.Repeat("░", columns-full)
}
