package wan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vrouter/internal/netlab"
)

// result is what one step brought.
type result struct {
	step
	at    time.Duration // since the start
	took  time.Duration // until all was well again, and seen to be
	loss  [ways]netlab.Loss
	wrong string // what step.after says
	froze string // the router that says of itself that it stood still; "": none
}

// late is how late packets of the streams were sent at most.
func (r *result) late() (d time.Duration) {
	for i := range r.loss {
		d = max(d, r.loss[i].Late)
	}
	return d
}

// gap is the longest time without service, in any way.
func (r *result) gap() (d time.Duration) {
	for i := range r.loss {
		d = max(d, r.loss[i].Gap)
	}
	return d
}

// stall is a lateness from which on nothing can be said of a step: the machine
// stood still for so long that BFD may have failed by it.
const stall = bfdTime / 3

// missed says which way the step cost more than it may, or what else is wrong; ""
// where nothing is.
func (r *result) missed() string {
	for i, loss := range r.loss {
		switch {
		case r.setup:
		case r.bound == 0 && loss.Lost > 0:
			return fmt.Sprintf("%s lost %d packets where nothing need be lost", wayNames[i], loss.Lost)
		case r.bound > 0 && loss.Gap > r.bound:
			return fmt.Sprintf("%s stood still for %s, and may for %s", wayNames[i], milliseconds(loss.Gap), milliseconds(r.bound))
		}
	}
	return r.wrong
}

// stalled says who had no CPU time during the step; "" where everybody had.
func (r *result) stalled() string {
	switch {
	case r.late() >= stall:
		return "the machine stood still for " + milliseconds(r.late())
	case r.froze != "":
		return r.froze + " stood still"
	}
	return ""
}

// verdict is one word on the step.
func (r *result) verdict() string {
	switch {
	case r.missed() == "":
		return "ok"
	case r.stalled() != "":
		return "stalled"
	}
	return "MISSED"
}

// words tells the result while the scenario runs.
func (r *result) words() string {
	text := fmt.Sprintf("well after %.1f s", r.took.Seconds())
	if r.setup {
		return text
	}
	if r.gap() == 0 {
		text += ", nothing lost"
	} else {
		text += fmt.Sprintf(", lost: IPv4 %s, IPv6 %s; longest gap %s", r.lost(out4), r.lost(out6), milliseconds(r.gap()))
	}
	if missed := r.missed(); missed != "" {
		text += "\n         " + r.verdict() + ": " + missed
		if stalled := r.stalled(); stalled != "" {
			text += "; but " + stalled
		}
	}
	return text
}

// lost tells what a family lost out and back.
func (r *result) lost(out int) string {
	return fmt.Sprintf("%d + %d", r.loss[out].Lost, r.loss[out+1].Lost)
}

// report is all that the end tells.
type report struct{ results []result }

func (r *report) String() string {
	var b strings.Builder
	fmt.Fprint(&b, "\n                               lost out + back        longest      may\n")
	fmt.Fprintf(&b, "  %-28s %-11s %-11s %7s %8s  %s\n", "what happened", "IPv4", "IPv6", "gap", "cost", "")
	late := time.Duration(0)
	var reasons []string
	for i := range r.results {
		e := &r.results[i]
		if e.setup {
			continue
		}
		may := "nothing"
		if e.bound > 0 {
			may = milliseconds(e.bound)
			if reason := may + ": " + e.why; !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
			}
		}
		late = max(late, e.late())
		fmt.Fprintf(&b, "  %-28s %-11s %-11s %7s %8s  %s\n", e.title, e.lost(out4), e.lost(out6), milliseconds(e.gap()), may, e.verdict())
	}
	fmt.Fprintf(&b, "\n  1000 packets a second in each family, from the LAN to the remote host, and as\n"+
		"  many from there; the machine was late with them by %s at most.\n", milliseconds(late))
	if r.unjudged() != "" {
		fmt.Fprint(&b, "  stalled: nothing can be said of it\n")
	}
	for _, reason := range reasons {
		fmt.Fprintf(&b, "  %s\n", reason)
	}
	return b.String()
}

// verdict returns nil if each step cost no more than it may, or could not be
// judged.
func (r *report) verdict() error {
	for i := range r.results {
		if e := &r.results[i]; e.verdict() == "MISSED" {
			return fmt.Errorf("%s: %s", e.title, e.missed())
		}
	}
	return nil
}

// unjudged returns the first step of which nothing can be said; "": there is none.
func (r *report) unjudged() string {
	for i := range r.results {
		if e := &r.results[i]; e.missed() != "" && e.verdict() != "MISSED" {
			return e.title
		}
	}
	return ""
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
