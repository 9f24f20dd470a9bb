package main

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
)

func (a *app) pingCommand() *cobra.Command {
	request := control.PingRequest{}
	var interval, timeout time.Duration
	c := &cobra.Command{
		Use:   "ping ADDRESS",
		Short: "Send echo requests from the router itself",
		Long: `The running router sends echo requests from the interface that reaches ADDRESS.
A link-local address names its interface: fe80::1%lan.

Exit status 1 when no answer came at all.`,
		Args: arguments(1, 1, "the address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			address, err := netip.ParseAddr(args[0])
			if err != nil {
				return &usageError{fmt.Sprintf("%q is not an IP address", args[0]), cmd}
			}
			request.Address = address
			request.IntervalMS, request.TimeoutMS = interval.Milliseconds(), timeout.Milliseconds()
			return a.ping(cmd.Context(), request)
		},
	}
	c.Flags().IntVarP(&request.Count, "count", "n", 5, "how many requests; 0: until interrupted")
	c.Flags().DurationVarP(&interval, "interval", "i", time.Second, "from one request to the next")
	c.Flags().DurationVarP(&timeout, "timeout", "w", time.Second, "wait for each answer")
	c.Flags().IntVarP(&request.Size, "length", "l", 56, "bytes of data in each request")
	a.addSocketFlag(c)
	return c
}

func (a *app) ping(ctx context.Context, request control.PingRequest) error {
	var p pingSummary
	began := false
	err := a.client().Ping(ctx, request, func(r control.PingReply) error {
		if !began {
			began = true
			fmt.Fprintf(a.stdout, "PING %s: %d bytes of data, from the router\n", request.Address, request.Size)
		}
		p.add(r)
		_, err := fmt.Fprintln(a.stdout, pingLine(r))
		return err
	})
	if p.sent > 0 {
		fmt.Fprintf(a.stdout, "\n--- %s ping statistics ---\n%s", request.Address, p.String())
	}
	if err != nil {
		return err
	}
	if p.received == 0 {
		return errReported
	}
	return nil
}

// pingLine is one line in the words of ping(8).
func pingLine(r control.PingReply) string {
	switch {
	case r.Error != "" && r.From.IsValid():
		return fmt.Sprintf("From %s: icmp_seq=%d %s", r.From, r.Sequence, printable(r.Error))
	case r.Error != "":
		return fmt.Sprintf("icmp_seq=%d %s", r.Sequence, printable(r.Error))
	}
	return fmt.Sprintf("%d bytes from %s: icmp_seq=%d ttl=%d time=%.3f ms",
		r.Size, r.From, r.Sequence, r.TTL, float64(r.TimeUS)/1000)
}

// pingSummary adds up the round trips, in milliseconds.
type pingSummary struct {
	sent, received               int
	least, most, sum, sumSquares float64
}

func (p *pingSummary) add(r control.PingReply) {
	p.sent++
	if r.Error != "" {
		return
	}
	ms := float64(r.TimeUS) / 1000
	if p.received == 0 || ms < p.least {
		p.least = ms
	}
	p.most = max(p.most, ms)
	p.received++
	p.sum += ms
	p.sumSquares += ms * ms
}

// String returns the last lines of ping(8).
func (p *pingSummary) String() string {
	loss := 100 * float64(p.sent-p.received) / float64(p.sent)
	s := fmt.Sprintf("%d packets transmitted, %d received, %.4g%% packet loss\n", p.sent, p.received, loss)
	if p.received == 0 {
		return s
	}
	n := float64(p.received)
	mean := p.sum / n
	deviation := math.Sqrt(max(0, p.sumSquares/n-mean*mean))
	return s + fmt.Sprintf("rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", p.least, mean, p.most, deviation)
}
