package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
)

func (a *app) showNeighborsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "neighbors",
		Short: "The neighbour cache: ARP and Neighbor Discovery",
		Args:  arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd, "neighbors", nil, drawNeighbors)
		},
	}
}

func drawNeighbors(ctx context.Context, c *control.Client, s *screen, _ time.Time) error {
	neighbors, err := c.Neighbors(ctx)
	if err != nil {
		return err
	}
	if len(neighbors) == 0 {
		s.WriteString("no neighbours yet\n")
		return nil
	}
	t := table{header: []string{"ADDRESS", "INTERFACE", "MAC", "STATE", "AGE"}, right: []int{4}}
	for _, n := range neighbors {
		mac, state := n.MAC.String(), text(n.State)
		if n.MAC.IsZero() {
			mac = "-"
		}
		switch n.State {
		case "reachable":
			state.style = good
		case "incomplete":
			state.style = warn
		}
		age := span(time.Duration(n.AgeMS) * time.Millisecond)
		t.add(text(n.Address.String()), text(n.Interface), text(mac), state, text(age))
	}
	t.render(s)
	return nil
}
