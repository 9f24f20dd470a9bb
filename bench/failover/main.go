// Command failover measures what happens to traffic when one of two redundant
// routers fails, is stopped, or comes back: vrouter beside keepalived and FRR,
// each in the same network of namespaces, in one run.
//
//	go run ./bench/failover                      everything
//	go run ./bench/failover -events kill,stop -intervals 100ms -repeat 1 -daemons vrouter
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"vrouter/bench/harness"
)

func main() {
	harness.Main("failover", func(args []string) (func(context.Context) error, func() error, error) {
		o, err := parseOptions(args)
		if err == nil && o.from != "" {
			return nil, o.again, nil
		}
		return o.run, nil, err
	})
}

// options say what is measured.
type options struct {
	events    []*event
	intervals []time.Duration
	repeat    int
	kinds     []*kind
	parallel  int
	binary    string // vrouter; empty: built from the sources
	output    string // files' path without extension; empty: none
	page      string // the Markdown page; empty: none
	from      string // the JSON file of an earlier run, to write its page again; empty: measure
	verbose   bool
}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("failover", flag.ContinueOnError)
	var names, intervals, daemons string
	set.StringVar(&names, "events", "all", "what happens, by name: "+strings.Join(harness.Names(events, eventID), ","))
	set.StringVar(&intervals, "intervals", "10ms,100ms,1s", "advertisement intervals")
	set.StringVar(&daemons, "daemons", "all", "what is measured: "+strings.Join(harness.Names(kinds, kindName), ","))
	set.IntVar(&o.repeat, "repeat", 5, "repetitions of each event")
	set.IntVar(&o.parallel, "parallel", 2, "networks at one time with intervals of 1 s and more; the others are alone")
	set.StringVar(&o.binary, "vrouter", "", "the vrouter program (default: it is built)")
	set.StringVar(&o.output, "o", "build/failover", "write FILE.json and FILE.csv; empty: do not")
	set.StringVar(&o.page, "page", "", "write a Markdown page, as docs/bench/failover.md")
	set.StringVar(&o.from, "from", "", "do not measure: print the table, and write the page, of an earlier run's FILE.json")
	set.BoolVar(&o.verbose, "v", false, "print each repetition")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 || o.repeat < 1 || o.parallel < 1 {
		return nil, errors.New("no arguments but flags; -repeat and -parallel from 1")
	}
	var err error
	if o.events, err = harness.Choose(names, events, eventID); err != nil {
		return nil, fmt.Errorf("-events: %w", err)
	}
	if o.kinds, err = harness.Choose(daemons, kinds, kindName); err != nil {
		return nil, fmt.Errorf("-daemons: %w", err)
	}
	for text := range strings.SplitSeq(intervals, ",") {
		interval, err := time.ParseDuration(text)
		if err != nil || interval < 10*time.Millisecond || interval > 40*time.Second || interval%(10*time.Millisecond) != 0 {
			return nil, fmt.Errorf("-intervals: %q is not 10ms to 40s in steps of 10ms", text)
		}
		o.intervals = append(o.intervals, interval)
	}
	return o, nil
}

func eventID(e *event) string { return e.id }
func kindName(k *kind) string { return k.name }

// again prints and writes what an earlier run has measured.
func (o *options) again() error {
	rep, err := readReport(o.from)
	if err != nil {
		return err
	}
	fmt.Println(rep.table())
	o.output = "" // it is there
	return rep.write(o)
}

// program is the vrouter program that is measured.
var program string

// run measures, in namespaces.
func (o *options) run(ctx context.Context) error {
	var done func()
	var err error
	if program, done, err = harness.Program(o.binary); err != nil {
		return err
	}
	defer done()
	rep := newReport(o)
	jobs := o.jobs(rep)
	if len(jobs) == 0 {
		return errors.New("nothing of that can be measured here")
	}
	fmt.Printf("%s\n%s\nAbout %v: %d rows of %d repetitions. Nothing outside these namespaces is touched.\n\n",
		picture, strings.Join(rep.headLines(), "\n"), o.expected(jobs).Round(time.Minute), countRows(jobs), o.repeat)
	o.measure(ctx, jobs, rep)
	rep.end = time.Now()
	fmt.Println(rep.table())
	if err := rep.write(o); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: the files have what was measured until then")
	}
	return nil
}
