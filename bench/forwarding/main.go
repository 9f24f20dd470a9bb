// Command forwarding measures how fast vrouter forwards, beside the kernel of the
// same machine, in the same run: between two veth pairs, in network namespaces of
// its own.
//
//	go run ./bench/forwarding                         everything
//	go run ./bench/forwarding -tests flood,cost -routers kernel,af_packet -rounds 3
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vrouter/internal/netlab"
)

func main() {
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "forwarding:", err)
		os.Exit(2)
	}
	if err := netlab.Run(context.Background(), os.Stdout, os.Stderr, o.run); err != nil {
		fmt.Fprintln(os.Stderr, "forwarding:", err)
		os.Exit(1)
	}
}

// options say what is measured.
type options struct {
	tests   []*test
	routers []*router
	rounds  int
	lasts   time.Duration
	binary  string // vrouter; empty: built from the sources
	output  string // files' path without extension; empty: none
	page    string // directory of forwarding.md and forwarding.svg; empty: none
}

func parseOptions(args []string, usage io.Writer) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("forwarding", flag.ContinueOnError)
	set.SetOutput(usage)
	var names, kinds string
	set.StringVar(&names, "tests", "all", "what is measured: "+strings.Join(namesOf(tests, testName), ","))
	set.StringVar(&kinds, "routers", "all", "who forwards: "+strings.Join(namesOf(routers, routerName), ","))
	set.IntVar(&o.rounds, "rounds", 5, "rounds; in each, everybody has a turn")
	set.DurationVar(&o.lasts, "time", 3*time.Second, "how long a measurement lasts")
	set.StringVar(&o.binary, "vrouter", "", "the vrouter program (default: it is built)")
	set.StringVar(&o.output, "o", "build/forwarding", "write FILE.csv; empty: do not")
	set.StringVar(&o.page, "page", "", "write forwarding.md and forwarding.svg into this directory")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 || o.rounds < 1 || o.lasts < 100*time.Millisecond {
		return nil, errors.New("no arguments but flags; -rounds from 1, -time from 100ms")
	}
	var err error
	if o.tests, err = choose(names, tests, testName); err != nil {
		return nil, fmt.Errorf("-tests: %w", err)
	}
	if o.routers, err = choose(kinds, routers, routerName); err != nil {
		return nil, fmt.Errorf("-routers: %w", err)
	}
	if o.output != "" {
		if o.output, err = filepath.Abs(o.output); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func testName(t *test) string     { return t.name }
func routerName(r *router) string { return r.name }

func namesOf[T any](all []T, name func(T) string) (list []string) {
	for _, t := range all {
		list = append(list, name(t))
	}
	return list
}

// choose picks those of a list whose names are given, joined by commas.
func choose[T any](names string, all []T, name func(T) string) (list []T, err error) {
	if names == "all" {
		return all, nil
	}
	for n := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(t T) bool { return name(t) == n })
		if i < 0 {
			return nil, fmt.Errorf("there is no %q; there are %s", n, strings.Join(namesOf(all, name), ", "))
		}
		list = append(list, all[i])
	}
	return list, nil
}

// run measures everything, in rounds in which everybody has a turn: what the
// machine does besides hits all alike.
func (o *options) run(ctx context.Context) error {
	if o.binary == "" {
		dir, err := os.MkdirTemp("", "vrouter-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if o.binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	rep := newReport(o)
	for _, t := range o.tests {
		for round := range o.rounds {
			if err := o.round(ctx, t, round, rep); err != nil {
				return err
			}
		}
		fmt.Print(rep.lines(t))
	}
	return rep.write(o)
}

// round measures one test once with every router.
func (o *options) round(ctx context.Context, t *test, round int, rep *report) error {
	var base time.Duration
	if p, ok := paces[t.name]; ok {
		var err error
		if base, err = o.bare(ctx, p); err != nil {
			return fmt.Errorf("without a router: %w", err)
		}
	}
	for i := range o.routers {
		r := o.routers[(i+round)%len(o.routers)]
		if rep.missing(t, r) {
			continue
		}
		value, err := o.once(ctx, t, r, base)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rep.add(t, r, round, value, err)
	}
	return nil
}

// bare measures what a packet costs the generator and the sink.
func (o *options) bare(ctx context.Context, p pace) (time.Duration, error) {
	t, err := prepare(ctx, o, nil, true)
	if err != nil {
		return 0, err
	}
	defer t.end()
	if err := t.network.discard(ctx); err != nil {
		return 0, err
	}
	t.pace = p
	return t.cost(o.lasts)
}

func (o *options) once(ctx context.Context, t *test, r *router, base time.Duration) (float64, error) {
	trial, err := prepare(ctx, o, r, t.pinned)
	if err != nil {
		return 0, err
	}
	defer trial.end()
	trial.base, trial.pace = base, paces[t.name]
	return t.run(ctx, o, trial)
}
