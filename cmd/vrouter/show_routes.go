package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
	"vrouter/router"
)

func (a *app) showRoutesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "routes",
		Short: "The best route of each prefix",
		Args:  arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd, "routes", nil, drawRoutes)
		},
	}
}

func drawRoutes(ctx context.Context, c *control.Client, s *screen, _ time.Time) error {
	routes, err := c.Routes(ctx)
	if err != nil {
		return err
	}
	if len(routes) == 0 {
		s.WriteString("no routes\n")
		return nil
	}
	t := table{header: []string{"PREFIX", "SOURCE", "METRIC", "TO"}, right: []int{2}}
	for i := range routes {
		r := &routes[i]
		targets := routeTargets(r)
		source := r.Source
		if r.Protocol != "" {
			source += " (" + r.Protocol + ")"
		}
		t.add(text(r.Prefix.String()), text(source), text(strconv.FormatUint(uint64(r.Metric), 10)), targets[0])
		for _, more := range targets[1:] {
			t.add(text(""), text(""), text(""), more)
		}
	}
	t.render(s)
	return nil
}

// routeTargets says where a route leads, one cell for each next hop and at
// least one.
func routeTargets(r *router.RouteStatus) (targets []cell) {
	if r.Type == "blackhole" || r.Type == "unreachable" || len(r.NextHops) == 0 {
		return []cell{{r.Type, warn}}
	}
	for _, h := range r.NextHops {
		switch {
		case r.Type == "local":
			targets = append(targets, text("this router, on "+h.Interface))
		case r.Type != "unicast":
			targets = append(targets, text(r.Type+", on "+h.Interface))
		case !h.Via.IsValid():
			targets = append(targets, text("directly on "+h.Interface))
		case !h.Resolved:
			targets = append(targets, cell{"via " + h.Via.String() + " on " + h.Interface + ", not resolved", warn})
		default:
			targets = append(targets, text("via "+h.Via.String()+" on "+h.Interface))
		}
	}
	return targets
}
