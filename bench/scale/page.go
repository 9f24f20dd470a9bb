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

	loading   []time.Duration
	memory    uint64          // bytes
	rerouting []time.Duration // the control plane's part
	single    []time.Duration // of a changed route, each published
	batched   []time.Duration // of a changed route, 256 published together

	forwarding  [2]forwarding // by family
	firstPacket []time.Duration

	load80        float64 // packets a second
	calm, stirred []loss
}

// forwarding is what a worker managed with two routes and with many, in turn.
type forwarding struct{ few, many, rate, fewCost, manyCost []float64 }

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

func us(d time.Duration) string {
	return fmt.Sprintf("%.3g us", float64(d)/float64(time.Microsecond))
}

// tables is the part about the control plane.
func (r *report) tables() string {
	var b strings.Builder
	worst := slices.Max(r.rerouting)
	fmt.Fprintf(&b, "| %d IPv4 and %d IPv6 prefixes, %d next hops | median | worst | to reach | |\n|---|---|---|---|---|\n", r.four, r.six, hops)
	fmt.Fprintf(&b, "| load: RIB and first snapshot | %.2f s | %.2f s | 1.5 s | %s |\n",
		median(r.loading).Seconds(), slices.Max(r.loading).Seconds(), verdict(median(r.loading) <= 1500*time.Millisecond))
	fmt.Fprintf(&b, "| memory of RIB and FIB | %.0f MiB | | 200 MiB | %s |\n", float64(r.memory)/(1<<20), verdict(r.memory <= 200<<20))
	fmt.Fprintf(&b, "| lost port of all next hops, to the new snapshot | %s | %s | 5 ms | %s |\n",
		us(median(r.rerouting)), us(worst), verdict(median(r.rerouting) <= 5*time.Millisecond))
	fmt.Fprintf(&b, "| changed route, each published on its own | %s | %s | | |\n", us(median(r.single)), us(slices.Max(r.single)))
	fmt.Fprintf(&b, "| changed route, 256 published together | %s | %s | 100 us | %s |\n",
		us(median(r.batched)), us(slices.Max(r.batched)), verdict(median(r.batched) <= 100*time.Microsecond))
	return b.String()
}

// traffic is the part about packets.
func (r *report) traffic() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %d flows, one worker, AF_PACKET on veths, 60-byte packets | 2 routes | %d routes | ratio | to reach | |\n|---|---|---|---|---|---|\n", r.flows, r.four+r.six)
	for f, name := range []string{"IPv4", "IPv6"} {
		w := r.forwarding[f]
		fmt.Fprintf(&b, "| %s packets/s | %.0f | %.0f | %.2f | 0.85 | %s |\n", name, median(w.few), median(w.many), median(w.rate), verdict(median(w.rate) >= 0.85))
		fmt.Fprintf(&b, "| %s, worker's time a packet | %.0f ns | %.0f ns | %.2f | | |\n", name, median(w.fewCost), median(w.manyCost), median(w.fewCost)/median(w.manyCost))
	}
	fmt.Fprintf(&b, "\n| a port is lost that all prefixes use | median | worst | to reach | |\n|---|---|---|---|---|\n| to the first packet by the default route | %s | %s | 5 ms | %s |\n",
		us(median(r.firstPacket)), us(slices.Max(r.firstPacket)), verdict(median(r.firstPacket) <= 5*time.Millisecond))
	fmt.Fprintf(&b, "\n| %.0f packets/s: 80 %% of the most, %s a try | sent a second | lost, of each try | of all | slowest turn |\n|---|---|---|---|---|\n", r.load80, r.loss)
	lines := func(name string, tries []loss) {
		var rates, lost []string
		var late time.Duration
		var sent, all uint64
		for _, l := range tries {
			rates = append(rates, fmt.Sprintf("%.0f", l.rate))
			lost = append(lost, fmt.Sprintf("%d", l.lost))
			sent, all = sent+l.sent, all+l.lost
			late = max(late, l.late)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f %% | %s |\n", name, strings.Join(rates, ", "), strings.Join(lost, ", "), 100*float64(all)/float64(max(sent, 1)), ms(late))
	}
	lines("no change", r.calm)
	lines(fmt.Sprintf("%d changed routes a second", r.updates), r.stirred)
	return b.String()
}

const pageHead = `# Routes at scale

vrouter with a routing table of the Internet's size. This page is written by the program that measures, ` + "`make bench-scale`" + `.

Measured on %s, %s/%s, %d CPUs, kernel %s, %s; load average when it began (without this): %s.

`

const pageMethod = `
## How it is measured
` + "```" + `%s` + "```" + `

- The table is made by ` + "`bench/prefixes`" + ` from a seed: shares of prefix lengths, unevenness and nesting are those of the default-free zone in 2024.
- The worker, the ports and the tables are those of ` + "`vrouter run`" + `; devices are veths in a network namespace; the worker has a CPU of its own where there are two, and the generator (AF_XDP in copy mode, else sendmmsg) another. The flood is more than the worker can carry.
- Tables of two routes and of all forward the same packets in turn, a fraction of a second each, by the snapshot that is published. The ratio is the median of the ratios of neighbours: it hardly minds what else the machine does, which packets/s do. The worker's time for a packet is all of it: receiving, forwarding, transmitting, and what the kernel does of the other end of the veth meanwhile.
- The lost port: the default route leads elsewhere, so that a shorter prefix has to be found for every packet. The time is from telling the table to the first packet on the other port.
- Loss: what the generator's device took and no egress device did. On a machine that others keep busy a worker that does not get to run for longer than its ring has room for loses packets without any change of routes: the first line tells. Changes of routes leave garbage, 3 to 5 KB each, which costs some 50 ms of CPU time a second to collect: where the generator has one of two CPUs, some of that is taken from the worker.

To repeat it: ` + "`make bench-scale`" + `; the cost of Forward alone and of lookups: ` + "`make bench-micro`" + `, whose results are in [forward.txt](forward.txt) and [routes.txt](routes.txt), for [benchstat](https://pkg.go.dev/golang.org/x/perf/cmd/benchstat).
`

// markdown is the page.
func (r *report) markdown() string {
	return fmt.Sprintf(pageHead, r.begin.UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), readLine("/proc/sys/kernel/osrelease"), runtime.Version(), r.busy) +
		r.tables() + "\n" + r.traffic() + fmt.Sprintf(pageMethod, picture)
}

// readLine returns what is in a file of /proc.
func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
