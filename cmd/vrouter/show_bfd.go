package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
	"vrouter/router"
)

func (a *app) showBFDCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "bfd",
		Short: "BFD sessions",
		Args:  arguments(0, 0, ""),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.show(cmd, "bfd", nil, drawBFD) },
	}
}

func drawBFD(ctx context.Context, c *control.Client, s *screen, now time.Time) error {
	list, err := c.BFD(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		s.WriteString("no BFD sessions configured\n")
		return nil
	}
	t := table{
		header:   []string{"NAME", "PEER", "INTERFACE", "STATE", "FOR", "SENDS", "DETECTS"},
		optional: []int{2, 5},
	}
	for i := range list {
		b := &list[i]
		r := t.add(
			text(strings.Join(b.Names, ", ")), text(b.Peer), text(b.Interface), bfdCell(b),
			text(lasting(now, b.Since)), text(intervalOrNone(b.TransmitMS)), text(intervalOrNone(b.DetectionMS)),
		)
		if b.State != "Up" && b.LastReason != "" {
			r.notes = []cell{{b.LastReason, bad}}
		}
	}
	t.render(s)
	return nil
}

// bfdCell emphasises a session's state.
func bfdCell(b *router.BFDSession) cell {
	switch {
	case b.State == "Up":
		return cell{b.State, good}
	case b.Failed:
		return cell{b.State + ", routes out of use", bad}
	}
	return cell{b.State, warn}
}

// intervalOrNone writes milliseconds; zero is not known, or none.
func intervalOrNone(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return microseconds(int64(1000 * ms))
}
