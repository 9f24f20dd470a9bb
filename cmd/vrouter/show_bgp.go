package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vrouter/bgp"
	"vrouter/control"
)

func (a *app) showBGPCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bgp",
		Short: "BGP neighbours; with \"routes PREFIX\" all paths of a prefix",
		Args:  func(c *cobra.Command, args []string) error { return unknownCommand(c, args, "topic") },
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.show(cmd, "bgp", nil, drawBGP) },
	}
	c.AddCommand(&cobra.Command{
		Use:   "routes PREFIX",
		Short: "All paths of a prefix: why the best one is, and why others were not accepted",
		Args:  arguments(1, 1, "PREFIX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.show(cmd, "bgp", url.Values{"prefix": {args[0]}},
				func(ctx context.Context, c *control.Client, s *screen, now time.Time) error {
					return drawPaths(ctx, c, s, now, args[0])
				})
		},
	})
	return c
}

func drawBGP(ctx context.Context, c *control.Client, s *screen, now time.Time) error {
	list, err := c.BGP(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		s.WriteString("no BGP configured\n")
		return nil
	}
	t := table{
		header:   []string{"NEIGHBOR", "ADDRESS", "AS", "STATE", "FOR", "IN", "ACCEPTED", "OUT"},
		right:    []int{5, 6, 7},
		optional: []int{1, 4},
	}
	for i := range list {
		b := &list[i]
		in, accepted, out := routeCounts(b)
		r := t.add(
			text(b.Name), text(b.Address.String()), text(strconv.FormatUint(uint64(b.ASN), 10)), sessionCell(b),
			text(lasting(now, b.Since)), text(in), text(accepted), text(out),
		)
		if b.Follows != "" {
			r.notes = append(r.notes, cell{"announces as " + b.Announces + " of " + b.Follows, faint})
		}
		if b.LastError != "" {
			r.notes = append(r.notes, cell{b.LastError, bad})
		}
	}
	t.render(s)
	return nil
}

// sessionCell is the state, with what it does not say.
func sessionCell(b *bgp.Session) cell {
	switch {
	case b.Ready():
		return cell{b.State, good}
	case b.State == bgp.StateEstablished:
		return cell{b.State + ", still learning", warn}
	case b.Stale:
		return cell{b.State + ", restarting", warn}
	}
	return cell{b.State, bad}
}

// routeCounts are the counts of all families.
func routeCounts(b *bgp.Session) (in, accepted, out string) {
	var sum bgp.Family
	for _, f := range b.Families {
		sum.Received += f.Received
		sum.Accepted += f.Accepted
		sum.Advertised += f.Advertised
	}
	if len(b.Families) == 0 {
		return "-", "-", "-"
	}
	return fmt.Sprint(sum.Received), fmt.Sprint(sum.Accepted), fmt.Sprint(sum.Advertised)
}

func drawPaths(ctx context.Context, c *control.Client, s *screen, now time.Time, prefix string) error {
	list, err := c.BGPPaths(ctx, prefix)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		s.WriteString("BGP has no path to " + prefix + "\n")
		return nil
	}
	t := table{header: []string{"", "NEIGHBOR", "NEXT HOP", "AS PATH", "PREF", "MED", "FOR"}, right: []int{4, 5}, optional: []int{6}}
	for i := range list {
		p := &list[i]
		mark, med := cell{}, "-"
		if p.Best {
			mark = cell{"*", good}
		}
		if p.Rejected {
			mark = cell{"x", bad}
		}
		if p.MED != nil {
			med = fmt.Sprint(*p.MED)
		}
		path := p.ASPath
		if path == "" {
			path = "(own system)"
		}
		r := t.add(mark, text(p.Neighbor), text(p.NextHop.String()), text(path),
			text(fmt.Sprint(p.LocalPreference)), text(med), text(lasting(now, p.Since)))
		r.notes = append(r.notes, cell{p.Reason, plain})
		if len(p.Communities) > 0 {
			r.notes = append(r.notes, cell{"communities " + strings.Join(p.Communities, " "), faint})
		}
		if p.Stale {
			r.notes = append(r.notes, cell{"stale: its neighbour restarts", warn})
		}
	}
	t.render(s)
	return nil
}
