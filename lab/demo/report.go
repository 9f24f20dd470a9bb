package demo

import (
	"fmt"
	"strings"
	"time"

	"vrouter/internal/netlab"
)

// span says from when on a router runs and is connected, or does not.
type span struct {
	router string
	alive  bool
	from   time.Time
}

// report is all that the end of the demo tells.
type report struct {
	start, end time.Time
	masters    []change // of the gateway, IPv4
	spans      []span
	results    []result
	err        error // what ended the demo early
}

func (d *demo) report(now time.Time, err error) *report {
	masters := d.watch.history("lan4")
	return &report{start: d.start, end: now, masters: masters, spans: d.spans, results: d.results, err: err}
}

// cell is the time that one character of the chart stands for.
const cell = 250 * time.Millisecond

func (r *report) String() string {
	var b strings.Builder
	b.WriteString("\nWHO WAS MASTER  (M master, b backup, . not there; one character is a quarter of a second)\n\n")
	r.chart(&b)
	b.WriteString("\nTIMELINE\n\n")
	fmt.Fprintf(&b, "  %7s   %-24s %-18s %-22s %s\n", "when", "what happened", "master", "IPv4 lost", "IPv6 lost")
	for _, e := range r.results {
		fmt.Fprintf(&b, "  %5.1f s   %-24s %-18s %-22s %s\n", e.at.Seconds(), e.title, masterText(e), lossCell(e, 0), lossCell(e, 1))
	}
	b.WriteString("\n" + r.summary())
	return b.String()
}

func masterText(e result) string {
	switch {
	case e.moved == 0:
		return e.to
	case e.from == "" || e.from == e.to:
		return fmt.Sprintf("%s, %s", e.to, milliseconds(e.moved))
	}
	return fmt.Sprintf("%s -> %s, %s", e.from, e.to, milliseconds(e.moved))
}

func lossCell(e result, family int) string {
	loss := e.loss[family]
	if e.setup {
		return "-"
	}
	text := "0"
	if loss.Lost > 0 {
		text = fmt.Sprintf("%d packets, %s", loss.Lost, milliseconds(loss.Gap))
	}
	if loss.Duplicates > 0 {
		text += fmt.Sprintf(" (%d twice)", loss.Duplicates)
	}
	return text
}

// chart draws a line for each router.
func (r *report) chart(b *strings.Builder) {
	cells := int(r.end.Sub(r.start)/cell) + 1
	const perMark = 20 // cells: 5 seconds
	axis := "  seconds  "
	for i := 0; i < cells; i += perMark {
		axis += fmt.Sprintf("%-*d", perMark, int(time.Duration(i)*cell/time.Second))
	}
	b.WriteString(strings.TrimRight(axis, " ") + "\n")
	for _, router := range []string{"r1", "r2"} {
		fmt.Fprintf(b, "  %-9s", router)
		for i := range cells {
			b.WriteByte(r.mark(router, r.start.Add(time.Duration(i)*cell+cell/2)))
		}
		b.WriteString("\n")
	}
}

// mark is the chart's character for a router at a moment.
func (r *report) mark(router string, at time.Time) byte {
	alive, master := false, ""
	for _, s := range r.spans {
		if s.router == router && !s.from.After(at) {
			alive = s.alive
		}
	}
	for _, c := range r.masters {
		if !c.at.After(at) {
			master = c.master
		}
	}
	switch {
	case !alive:
		return '.'
	case master == router:
		return 'M'
	}
	return 'b'
}

// summary says in words what the timeline means.
func (r *report) summary() string {
	var b strings.Builder
	b.WriteString("SUMMARY\n\n")
	crash, planned := r.worst(false), r.worst(true)
	if crash != nil {
		fmt.Fprintf(&b, "  Unplanned (crash, cables): the other router took over the gateway's addresses by\n"+
			"  itself; the hosts were without service for %s at most.\n", milliseconds(crash.Gap))
	}
	if planned != nil && planned.Lost == 0 {
		b.WriteString("  Planned (stop, start): not one packet was lost.\n")
	} else if planned != nil {
		fmt.Fprintf(&b, "  Planned (stop, start): at most %d packets were lost, in %s.\n", planned.Lost, milliseconds(planned.Gap))
	}
	if err := r.verdict(); err != nil {
		return fmt.Sprintf("%s\n  FAILED: %v\n", b.String(), err)
	}
	b.WriteString("\n  PASSED: traffic flowed again each time, in IPv4 and IPv6, and each time exactly one\n" +
		"  router answered for the gateway's addresses.\n")
	return b.String()
}

// worst returns the loss with the longest gap among the events of a kind, nil
// where there was none.
func (r *report) worst(planned bool) (worst *netlab.Loss) {
	for i := range r.results {
		e := &r.results[i]
		if e.setup || e.planned != planned {
			continue
		}
		for j := range e.loss {
			if worst == nil || e.loss[j].Gap > worst.Gap {
				worst = &e.loss[j]
			}
		}
	}
	return worst
}

// verdict returns nil if the demo did what it should.
func (r *report) verdict() error {
	if r.err != nil {
		return r.err
	}
	for _, e := range r.results {
		for i, family := range []string{"IPv4", "IPv6"} {
			if gap := e.loss[i].Gap; !e.setup && gap > gapLimit {
				return fmt.Errorf("%s: no %s service for %s, more than %s", e.title, family, milliseconds(gap), milliseconds(gapLimit))
			}
		}
	}
	return nil
}
