// Command bgp measures vrouter's BGP with a table of the Internet's size: how
// long it takes from the session to the last route in the FIB, beside a plain
// GoBGP that takes the same routes from the same neighbour; what memory that
// costs each process; whether VRRP's advertisements stay on time meanwhile; and
// how soon packets go another way when the neighbour of all these routes is lost.
//
//	go run ./bench/bgp                       everything: some minutes
//	go run ./bench/bgp -v4 100000 -v6 20000 -rounds 1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"vrouter/bench/harness"
	"vrouter/internal/netlab"
)

// options say what is measured.
type options struct {
	four, six int
	rounds    int
	losses    int
	rate      int // packets a second of the stream
	binary    string
	page      string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == plainMode {
		if err := plain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bgp:", err)
			os.Exit(1)
		}
		return
	}
	o, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bgp:", err)
		os.Exit(2)
	}
	if err := netlab.Run(context.Background(), os.Stdout, os.Stderr, o.run); err != nil {
		fmt.Fprintln(os.Stderr, "bgp:", err)
		os.Exit(1)
	}
}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("bgp", flag.ContinueOnError)
	set.IntVar(&o.four, "v4", 1_000_000, "IPv4 prefixes")
	set.IntVar(&o.six, "v6", 200_000, "IPv6 prefixes")
	set.IntVar(&o.rounds, "rounds", 3, "times that GoBGP and vrouter load the table, in turn")
	set.IntVar(&o.losses, "losses", 3, "times that the neighbour is lost in each way")
	set.IntVar(&o.rate, "rate", 1000, "packets a second of the stream that is rerouted")
	set.StringVar(&o.binary, "vrouter", "", "the vrouter program (default: it is built)")
	set.StringVar(&o.page, "page", "", "write a Markdown page, as docs/bench/bgp.md")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 || o.four < 1 || o.six < 1 || o.rounds < 1 || o.losses < 0 || o.rate < 1 {
		return nil, errors.New("no arguments but flags, no number below 1, -losses from 0")
	}
	return o, nil
}

// run measures, in namespaces of its own.
func (o *options) run(ctx context.Context) error {
	// Threads that come back from the kernel must not wait for each other.
	runtime.GOMAXPROCS(runtime.NumCPU() + 6)
	program, done, err := harness.Program(o.binary)
	if err != nil {
		return err
	}
	defer done()
	r := &report{options: *o, begin: time.Now(), busy: readLine("/proc/loadavg")}
	b, err := newTestbed(o, program)
	if err != nil {
		return err
	}
	defer b.close()
	if err := r.measure(ctx, b); err != nil {
		return fmt.Errorf("%w\n%s", err, b.logs())
	}
	fmt.Print(r.tables())
	if o.page == "" {
		return nil
	}
	return os.WriteFile(o.page, []byte(r.markdown()), 0o644)
}
