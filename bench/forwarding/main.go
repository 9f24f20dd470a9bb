// Command forwarding measures how fast routers forward, between two veth pairs
// in network namespaces: the kernel, vrouter with each kind of port, and DPDK's
// programs where they are installed, in turn, in the same run.
//
//	go run ./bench/forwarding                      everything
//	go run ./bench/forwarding -routers vrouter-af_packet -tests pps,cost -rounds 3
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/bench/harness"
)

func main() {
	becomePinned()
	harness.Main("forwarding", func(args []string) (func(context.Context) error, func() error, error) {
		o, err := parseOptions(args)
		if err == nil && o.from != "" {
			return nil, o.again, nil
		}
		return o.run, nil, err
	})
}

// options say what is measured.
type options struct {
	routers []string // names; the kernel is always among them
	tests   []string
	rounds  int
	length  time.Duration // of each stream of packets
	binary  string        // vrouter; empty: built from the sources
	keys    string        // TOML for vrouter's interfaces
	output  string        // files' path without extension; empty: none
	page    string        // the Markdown page; empty: none
	picture string        // the SVG file; empty: none
	from    string        // the JSON file of an earlier run, to write its page again; empty: measure

	notes []string // what is to be known about the figures
}

// tests are the groups of measures.
var tests = []string{"pps", "cost", "ndr", "latency", "idle", "tcp"}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("forwarding", flag.ContinueOnError)
	var names, chosen string
	set.StringVar(&names, "routers", "all", "what is measured beside the kernel: "+strings.Join(kindNames(), ","))
	set.StringVar(&chosen, "tests", "all", "what is measured of it: "+strings.Join(tests, ","))
	set.IntVar(&o.rounds, "rounds", 5, "rounds; in each every router has its turn")
	set.DurationVar(&o.length, "time", 1500*time.Millisecond, "length of each stream of packets")
	set.StringVar(&o.binary, "vrouter", "", "the vrouter program (default: it is built)")
	set.StringVar(&o.keys, "keys", "", "more keys for each of vrouter's interfaces, as 'queues = 2'")
	set.StringVar(&o.output, "o", "build/forwarding", "write FILE.json and FILE.csv; empty: do not")
	set.StringVar(&o.page, "page", "", "write a Markdown page, as docs/bench/forwarding.md")
	set.StringVar(&o.picture, "picture", "", "write a picture, as docs/bench/forwarding.svg")
	set.StringVar(&o.from, "from", "", "do not measure: print the tables, and write the page and the picture, of an earlier run's FILE.json")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 || o.rounds < 1 || o.length < 300*time.Millisecond || o.length > time.Minute {
		return nil, errors.New("no arguments but flags; -rounds from 1, -time from 300ms to 1m")
	}
	var err error
	if o.routers, err = harness.Choose(names, kindNames(), itself); err != nil {
		return nil, fmt.Errorf("-routers: %w", err)
	}
	if !slices.Contains(o.routers, kernelKind) {
		o.routers = append([]string{kernelKind}, o.routers...)
	}
	if o.tests, err = harness.Choose(chosen, tests, itself); err != nil {
		return nil, fmt.Errorf("-tests: %w", err)
	}
	return o, nil
}

func kindNames() []string { return harness.Names(kinds, func(k *kind) string { return k.name }) }

func itself(name string) string { return name }

func (o *options) wants(test string) bool { return slices.Contains(o.tests, test) }

// note keeps a remark about the figures, once.
func (o *options) note(text string) {
	if !slices.Contains(o.notes, text) {
		o.notes = append(o.notes, text)
		fmt.Println("note:", text)
	}
}

// again prints and writes what an earlier run has measured.
func (o *options) again() error {
	rep, err := readReport(o.from)
	if err != nil {
		return err
	}
	fmt.Println(rep.tables())
	o.output = "" // it is there
	return rep.write(o)
}

// run measures, in namespaces.
func (o *options) run(ctx context.Context) error {
	var done func()
	var err error
	if program, done, err = harness.Program(o.binary); err != nil {
		return err
	}
	defer done()
	defer prefer()()
	if keys = o.keys; keys != "" {
		o.note("each of vrouter's interfaces has " + strings.ReplaceAll(keys, "\n", ", "))
	}
	rep := newReport(o)
	fmt.Printf("%s\n%s\nNothing outside these namespaces is touched.\n\n", picture, strings.Join(rep.headLines(), "\n"))
	o.measure(ctx, rep)
	rep.End, rep.Notes = time.Now(), o.notes
	fmt.Println(rep.tables())
	if err := rep.write(o); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: the files have what was measured until then")
	}
	return nil
}

// measure goes round: in each round every router has its turn, and another is
// the first, so that what the machine does beside hits all of them.
func (o *options) measure(ctx context.Context, rep *report) {
	list := append([]*kind{}, rep.present...)
	if o.wants("cost") {
		list = append(list, direct)
	}
	for round := range o.rounds {
		first := round % len(list)
		for _, k := range append(append([]*kind{}, list[first:]...), list[:first]...) {
			if ctx.Err() != nil {
				return
			}
			f, err := o.turn(ctx, k)
			rep.add(k, round, f, err)
		}
	}
}

// turn is what one router does in one round.
func (o *options) turn(ctx context.Context, k *kind) (figures, error) {
	all := figures{}
	part := func(pinned bool, do func(*visit) (figures, error)) error {
		v, err := enter(ctx, o, k, pinned)
		if err != nil {
			return err
		}
		defer v.close()
		f, err := do(v)
		for id, value := range f {
			all[id] = value
		}
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, v.lastWords())
		}
		return err
	}
	var errs []error
	if slices.ContainsFunc(o.tests, func(t string) bool { return t != "tcp" }) {
		errs = append(errs, part(true, func(v *visit) (figures, error) { return v.packets(ctx) }))
	}
	if o.wants("tcp") && !k.unbounded && k.noTCP == "" && iperf3() {
		errs = append(errs, part(false, func(v *visit) (figures, error) { return v.tcp(ctx) }))
	}
	return all, errors.Join(errs...)
}

// prefer gives this program, and what it starts, priority over the machine's
// other work where that is allowed, and returns what ends that.
func prefer() (end func()) {
	const file = "/proc/self/autogroup" // the session's share of the CPUs
	before, err := os.ReadFile(file)
	unix.Setpriority(unix.PRIO_PROCESS, 0, nice) // not allowed: as everybody
	if err != nil || os.WriteFile(file, []byte(fmt.Sprint(nice)), 0) != nil {
		return func() {}
	}
	return func() {
		_, value, _ := strings.Cut(strings.TrimSpace(string(before)), "nice ")
		os.WriteFile(file, []byte(value), 0)
	}
}
