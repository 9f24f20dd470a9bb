package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
)

// drainPoll is how often the outcome of a drain is looked at.
const drainPoll = 50 * time.Millisecond

func (a *app) drainCommand() *cobra.Command {
	var end bool
	wait := 10 * time.Second
	c := &cobra.Command{
		Use:   "drain [--end]",
		Short: "Hand everything over and stay away, to service the machine",
		Long: `Every virtual router hands over in order and stays Backup, with effective priority
1 and without preempting; it still takes over where no other router is left. This
lasts until "vrouter drain --end" or the end of the process.

Exit status 0: another router is Master everywhere, so that this one can be stopped.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.client().Drain(cmd.Context(), !end); err != nil {
				return err
			}
			if end {
				_, err := fmt.Fprintln(a.stdout, "the drain has ended: this router takes part again")
				return err
			}
			return a.awaitDrain(cmd.Context(), wait)
		},
	}
	c.Flags().BoolVar(&end, "end", false, "end the drain")
	c.Flags().DurationVar(&wait, "wait", wait, "how long to wait for the other routers")
	a.addSocketFlag(c)
	return c
}

// awaitDrain waits until no virtual router is served here any more.
func (a *app) awaitDrain(ctx context.Context, wait time.Duration) error {
	for over := time.Now().Add(wait); ; {
		list, err := a.client().VRRP(ctx, "")
		if err != nil {
			return err
		}
		served := servedHere(list)
		switch {
		case len(served) == 0:
			_, err := fmt.Fprintln(a.stdout, `drained: this router is Master of nothing; "vrouter drain --end" brings it back`)
			return err
		case !time.Now().Before(over):
			return &control.Error{
				Message: "drained, but no other router has taken over " + strings.Join(served, ", ") + ": this one goes on serving",
				Remedy:  `look at the other router; "vrouter drain --end" ends the drain`,
			}
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return &control.Error{Message: "interrupted: the drain goes on", Remedy: `"vrouter drain --end" ends it`}
		}
	}
}

// servedHere names the virtual routers that this router forwards for.
func servedHere(list []control.VirtualRouter) (names []string) {
	for i := range list {
		if v := &list[i]; v.State == stateMaster || v.Forwarding {
			names = append(names, v.Name)
		}
	}
	return names
}
