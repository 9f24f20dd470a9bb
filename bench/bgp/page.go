package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what was measured.
type report struct {
	options
	begin time.Time
	busy  string // the load average at the beginning

	total       int // prefixes
	plain, ours []load
	standby     time.Duration // from the second session to a second way for each prefix
	both        [2]memory     // router, bgp: with two neighbours
	lost        []loss
}

// What is to be reached.
const (
	loadGoal    = 20 * time.Second
	ratioGoal   = 1.3
	lateGoal    = 5 * time.Millisecond
	rerouteGoal = 50 * time.Millisecond
)

// verdict compares with a target.
func verdict(ok bool) string {
	if ok {
		return "reached"
	}
	return "**missed**"
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// column returns one figure of each load, joined.
func column(list []load, f func(l *load) string) string {
	var all []string
	for i := range list {
		all = append(all, f(&list[i]))
	}
	return strings.Join(all, ", ")
}

// best is the load that was disturbed least.
func best(list []load) time.Duration {
	return slices.MinFunc(list, func(a, b load) int { return int(a.took - b.took) }).took
}

// ratio is the median of what vrouter took beside what GoBGP took just before.
func (r *report) ratio() float64 {
	var all []float64
	for i := range r.ours {
		all = append(all, r.ours[i].took.Seconds()/max(r.plain[i].took.Seconds(), 0.001))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// loading is the table of loads.
func (r *report) loading() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %d prefixes, of each round | GoBGP alone | vrouter | to reach | |\n|---|---|---|---|---|\n", r.total)
	row := func(name string, f func(l *load) string, goal string) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s\n", name, column(r.plain, f), column(r.ours, f), goal)
	}
	row("from the session to the last route", func(l *load) string { return seconds(l.took) },
		fmt.Sprintf("%v | %s |", loadGoal, verdict(best(r.ours) <= loadGoal)))
	fmt.Fprintf(&b, "| beside GoBGP alone, just before: median | 1 | %.2f | %.1f | %s |\n", r.ratio(), ratioGoal, verdict(r.ratio() <= ratioGoal))
	row("CPU time of the process with GoBGP", func(l *load) string { return seconds(l.bgpCPU) }, "| |")
	row("memory of it at most", func(l *load) string { return l.bgp.String() }, "| |")
	row("CPU time of the neighbour (BIRD)", func(l *load) string { return seconds(l.peerCPU) }, "| |")
	own := func(name string, f func(l *load) string) {
		fmt.Fprintf(&b, "| %s | | %s | | |\n", name, column(r.ours, f))
	}
	own("CPU time of the router process", func(l *load) string { return seconds(l.routerCPU) })
	own("memory of it at most", func(l *load) string { return l.router.String() })
	own("longest turn of the control loop", func(l *load) string { return ms(l.turn) })
	own("timers of the control loop late at most", func(l *load) string { return ms(l.loopLate) })
	own("a thread before all others, which does nothing else, woke late at most", func(l *load) string { return ms(l.stall) })
	var late []time.Duration
	for i := range r.ours {
		late = append(late, r.ours[i].late...)
	}
	slices.Sort(late)
	fmt.Fprintf(&b, "| advertisements later than 100 ms after the one before: median, 99 %%, at most (of %d) | | %s, %s, %s | %v | %s |\n", len(late),
		ms(percentile(late, 50)), ms(percentile(late, 99)), ms(percentile(late, 100)), lateGoal, verdict(percentile(late, 100) <= lateGoal))
	return b.String()
}

// losing is the table of losses.
func (r *report) losing() string {
	if len(r.lost) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nWith a second neighbour that announces the same, each prefix has a second way %s after its session began; router process %v, BGP process %v.\n\n",
		seconds(r.standby), r.both[0], r.both[1])
	fmt.Fprintf(&b, "| the first neighbour is lost by | detected after | packets lost of %d a second | rerouted after that | to reach | | BGP has chosen anew after |\n|---|---|---|---|---|---|---|\n", r.rate)
	for i := range r.lost {
		l := &r.lost[i]
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %v | %s | %s |\n", l.how, ms(l.detection), l.lost, ms(l.reroute), rerouteGoal,
			verdict(l.reroute <= rerouteGoal), seconds(l.settled))
	}
	return b.String()
}

func (r *report) tables() string { return r.loading() + r.losing() }

const pageHead = `# BGP at scale

vrouter's BGP with a routing table of the Internet's size, beside a plain GoBGP. This page is written by the program that measures, ` + "`make bench-bgp`" + `.

Measured on %s, %s/%s, %d CPUs, kernel %s, %s; load average when it began (without this): %s.

`

const pageMethod = `
## How it is measured
` + "```" + `%s` + "```" + `

- The table is made by ` + "`bench/prefixes`" + ` from a seed (as [Routes at scale](scale.md)), without prefixes that no router takes. Prefixes of a block have the same two systems in their AS path, so that an update holds some three prefixes, as on the Internet. BIRD has them as static routes and announces them when its session comes up.
- GoBGP alone is its library with one neighbour, default policies and nobody who listens to its routes; vrouter is the program as it is. Both take the table from the same BIRD, in turn, on the same machine; its time is from Established to End-of-RIB of both families. vrouter's is from Established until the router process has all routes in its forwarding table.
- The two processes of vrouter, BIRD, and what else the machine does share the CPUs: where there are two, GoBGP has one of them to itself only while nobody else needs it.
- Advertisements: the kernel's time of each on the LAN, beside that of the one before it.
- Losses: a stream to addresses in a thousand of the prefixes crosses the router meanwhile. "Detected" is the router's own event: the interface down, BFD (300 ms x 5: BIRD, with a million routes to send on a machine like this, is silent for longer than less) down, the session gone. A session that is reset loses no packet by itself, since the neighbour goes on forwarding. "BGP has chosen anew" is when no route by the lost neighbour is left.

To repeat it: ` + "`make bench-bgp`" + `; ` + "`FLAGS=\"-v4 100000 -v6 20000 -rounds 1\"`" + ` for a part.
`

// markdown is the page.
func (r *report) markdown() string {
	return fmt.Sprintf(pageHead, r.begin.UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), readLine("/proc/sys/kernel/osrelease"), runtime.Version(), r.busy) +
		r.tables() + fmt.Sprintf(pageMethod, picture)
}

// readLine returns what is in a file of /proc.
func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
