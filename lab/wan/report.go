package wan

import (
	"fmt"
	"strings"
	"time"

	"vrouter/internal/netlab"
)

var families = [2]string{"IPv4", "IPv6"}

// result is what one step brought.
type result struct {
	step
	at   time.Duration // since the start
	took time.Duration // until all was well again, and seen to be
	loss [2]netlab.Loss
}

// late is how late packets of the streams were sent at most.
func (r *result) late() time.Duration { return max(r.loss[0].Late, r.loss[1].Late) }

// stall is a lateness from which on nothing can be said of a step: the machine
// stood still for so long that BFD may have failed by it.
const stall = bfdTime / 3

// missed says in which family the step cost more than it may; "" where in none.
func (r *result) missed() string {
	for i, loss := range r.loss {
		switch {
		case r.setup:
		case r.bound == 0 && loss.Lost > 0:
			return fmt.Sprintf("%s lost %d packets where nothing need be lost", families[i], loss.Lost)
		case r.bound > 0 && loss.Gap > r.bound:
			return fmt.Sprintf("%s stood still for %s, and may for %s", families[i], milliseconds(loss.Gap), milliseconds(r.bound))
		}
	}
	return ""
}

// verdict is one word on the step.
func (r *result) verdict() string {
	switch {
	case r.missed() == "":
		return "ok"
	case r.late() >= stall:
		return "the machine stood still for " + milliseconds(r.late())
	}
	return "MISSED"
}

// words tells the result while the scenario runs.
func (r *result) words() string {
	text := "well after " + milliseconds(r.took)
	if r.setup {
		return text
	}
	for i := range r.loss {
		text += fmt.Sprintf("   %s: %s", families[i], lossCell(&r.loss[i]))
	}
	if missed := r.missed(); missed != "" {
		text += "   " + r.verdict() + ": " + missed
	}
	return text
}

func lossCell(loss *netlab.Loss) string {
	if loss.Lost == 0 {
		return "0"
	}
	return fmt.Sprintf("%d in %s", loss.Lost, milliseconds(loss.Gap))
}

// report is all that the end tells.
type report struct{ results []result }

func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %-34s %-16s %-16s %-22s %s\n", "what happened", "IPv4 lost", "IPv6 lost", "may cost", "")
	late := time.Duration(0)
	for i := range r.results {
		e := &r.results[i]
		if e.setup {
			continue
		}
		may := e.why
		if e.bound > 0 {
			may = fmt.Sprintf("%s (%s)", milliseconds(e.bound), e.why)
		}
		late = max(late, e.late())
		fmt.Fprintf(&b, "  %-34s %-16s %-16s %-22s %s\n", e.title, lossCell(&e.loss[0]), lossCell(&e.loss[1]), may, e.verdict())
	}
	fmt.Fprintf(&b, "\n  1000 packets a second in each family, from the LAN to the remote host and back;\n"+
		"  the machine was late with them by %s at most.\n", milliseconds(late))
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
