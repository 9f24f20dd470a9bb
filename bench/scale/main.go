// Command scale measures vrouter with a table of the Internet's size: how long it
// takes to load and how much memory, what it costs each packet beside a table of
// two routes, how soon packets go another way when the next hop of a million
// prefixes is lost, and whether packets are lost while routes change.
//
//	go run ./bench/scale                     everything: some minutes
//	go run ./bench/scale -rounds 3 -v4 100000 -v6 20000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"vrouter/bench/harness"
)

// options say what is measured.
type options struct {
	four, six int
	flows     int
	rounds    int
	updates   int // a second
	tries     int // of forwarding without loss, with and without updates
	loss      time.Duration
	page      string
}

func main() {
	harness.Main("scale", func(args []string) (func(context.Context) error, func() error, error) {
		o, err := parseOptions(args)
		return o.run, nil, err
	})
}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("scale", flag.ContinueOnError)
	set.IntVar(&o.four, "v4", 1_000_000, "IPv4 prefixes")
	set.IntVar(&o.six, "v6", 200_000, "IPv6 prefixes")
	set.IntVar(&o.flows, "flows", 10_000, "flows, to as many prefixes")
	set.IntVar(&o.rounds, "rounds", 15, "times that each table forwards, in turn")
	set.IntVar(&o.updates, "updates", 10_000, "changes of routes a second")
	set.IntVar(&o.tries, "tries", 5, "times that loss is looked for, without changes and with them")
	set.DurationVar(&o.loss, "loss", 3*time.Second, "how long loss is looked for")
	set.StringVar(&o.page, "page", "", "write a Markdown page, as docs/bench/scale.md")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 || o.four < 1 || o.six < 1 || o.flows < 1 || o.rounds < 1 || o.updates < 200 || o.tries < 1 || o.loss < time.Millisecond {
		return nil, errors.New("no arguments but flags, no number below 1, and 200 updates at least")
	}
	return o, nil
}

// run measures, in namespaces of its own.
func (o *options) run(ctx context.Context) error {
	debug.SetGCPercent(50)
	prefer()
	r := &report{options: *o, begin: time.Now(), busy: readLine("/proc/loadavg")}
	r.load()
	r.changes()
	fmt.Print(r.tables())
	b, err := newTestbed(o)
	if err != nil {
		return err
	}
	defer b.close()
	if err := r.measure(ctx, b); err != nil {
		return fmt.Errorf("%w; counted so far: %+v", err, b.counts())
	}
	fmt.Print(r.traffic())
	if o.page == "" {
		return nil
	}
	return os.WriteFile(o.page, []byte(r.markdown()), 0o644)
}
