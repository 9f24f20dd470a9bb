package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
	"vrouter/router"
)

func (a *app) showCountersCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "counters",
		Short: "Drops by reason, punted frames by class, errors, load, timers",
		Args:  arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd, "counters", nil, drawCounters(all))
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also those that are zero")
	return c
}

func drawCounters(all bool) screenFunc {
	return func(ctx context.Context, c *control.Client, s *screen, _ time.Time) error {
		v, err := c.Counters(ctx)
		if err != nil {
			return err
		}
		section(s, "dropped frames, by reason", func(s *screen) { drawNumbers(s, v.Drops, "  ", all) })
		section(s, "frames for the control plane", func(s *screen) { drawPunts(s, v.Punts, all) })
		section(s, "cut and joined", func(s *screen) { drawNumbers(s, v.Forwarding, "  ", all) })
		section(s, "ICMP errors", func(s *screen) { drawNumbers(s, v.ICMP, "  ", all) })
		section(s, "control plane", func(s *screen) { drawNumbers(s, v.Control, "  ", all) })
		section(s, "workers", func(s *screen) { drawWorkers(s, v.Workers, all) })
		section(s, "timers: how late they were", func(s *screen) { drawTimers(s, v.Timers, all) })
		if s.Len() == 0 {
			s.WriteString("all counters are zero\n")
		}
		return nil
	}
}

// section draws a part under its title, and nothing at all where the part is
// empty.
func section(s *screen, title string, draw func(*screen)) {
	part := screen{colour: s.colour}
	draw(&part)
	if part.Len() == 0 {
		return
	}
	if s.Len() > 0 {
		s.WriteString("\n")
	}
	s.WriteString(s.paint(title, bold) + "\n" + part.String())
}

// drawNumbers lists counters by name, exactly: they are for comparing.
func drawNumbers(s *screen, numbers map[string]uint64, indent string, all bool) {
	var names []string
	nameWidth, width := 0, 0
	for name, n := range numbers {
		if n > 0 || all {
			names = append(names, name)
			nameWidth, width = max(nameWidth, len(name)), max(width, len(strconv.FormatUint(n, 10)))
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(s, "%s%-*s  %*d\n", indent, nameWidth, printable(name), width, numbers[name])
	}
}

func drawPunts(s *screen, punts map[string]router.PuntStatus, all bool) {
	t := table{header: []string{"  CLASS", "ACCEPTED", "DROPPED"}, right: []int{1, 2}}
	for _, class := range slices.Sorted(maps.Keys(punts)) {
		p := punts[class]
		if p == (router.PuntStatus{}) && !all {
			continue
		}
		dropped := text(strconv.FormatUint(p.Dropped, 10))
		if p.Dropped > 0 {
			dropped.style = warn
		}
		t.add(text("  "+class), text(strconv.FormatUint(p.Accepted, 10)), dropped)
	}
	if len(t.rows) > 0 {
		t.render(s)
	}
}

func drawTimers(s *screen, timers map[string]router.HistogramStatus, all bool) {
	t := table{header: []string{"  TIMER", "TIMES", "50%", "99%", "99.9%", "MAX"}, right: []int{1, 2, 3, 4, 5}}
	for _, name := range slices.Sorted(maps.Keys(timers)) {
		h := timers[name]
		var total uint64
		for _, n := range h.Counts {
			total += n
		}
		if total == 0 && !all {
			continue
		}
		t.add(text("  "+name), text(strconv.FormatUint(total, 10)), text(quantile(h, total, 500)),
			text(quantile(h, total, 990)), text(quantile(h, total, 999)), text(microseconds(h.MaxUS)))
	}
	if len(t.rows) > 0 {
		t.render(s)
	}
}

// quantile returns the bound of the bucket that holds so many thousandths of
// all durations: they took no longer than that.
func quantile(h router.HistogramStatus, total, thousandths uint64) string {
	if total == 0 {
		return "-"
	}
	// Rounded up, so that 99.9% of ten durations are all ten.
	need := total/1000*thousandths + (total%1000*thousandths+999)/1000
	var seen uint64
	for i, n := range h.Counts {
		if seen += n; seen < need {
			continue
		}
		if i < len(h.UpToUS) && h.UpToUS[i] < h.MaxUS {
			return "<=" + microseconds(h.UpToUS[i])
		}
		break
	}
	return "<=" + microseconds(h.MaxUS)
}
