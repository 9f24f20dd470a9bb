package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
	"vrouter/router"
)

// The states of a virtual router in the control API.
const (
	stateInitialize = "Initialize"
	stateMaster     = "Master"
)

func (a *app) showVRRPCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "vrrp [NAME]",
		Short: "Virtual routers; with a name everything about one",
		Args:  arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.show(cmd, "vrrp", nil, drawVRRP)
			}
			return a.show(cmd, "vrrp", url.Values{"name": {args[0]}}, drawVirtualRouter(args[0], all))
		},
	}
	c.Flags().BoolVar(&all, "all", false, "with NAME: also counters that are zero")
	return c
}

func drawVRRP(ctx context.Context, c *control.Client, s *screen, now time.Time) error {
	routers, err := c.VRRP(ctx, "")
	if err != nil {
		return err
	}
	if len(routers) == 0 {
		s.WriteString("no virtual routers configured\n")
		return nil
	}
	t := table{
		header: []string{"NAME", "INTERFACE", "VRID", "STATE", "PRIORITY", "MASTER", "SINCE", "ADDRESSES"},
		right:  []int{2},
	}
	for i := range routers {
		v := &routers[i]
		r := t.add(
			text(v.Name), text(v.Interface), text(strconv.Itoa(int(v.VRID))), stateCell(v),
			text(priority(v)), text(master(v)), text(ago(now, v.Since)), text(firstAddress(v)),
		)
		r.notes = problems(v, now)
	}
	t.render(s)
	return nil
}

// stateCell emphasises the state.
func stateCell(v *control.VirtualRouter) cell {
	switch v.State {
	case stateMaster:
		return cell{v.State, good}
	case stateInitialize:
		return cell{v.State, bad}
	}
	return text(v.State)
}

// problems says why a virtual router does not do its work, or not alone.
func problems(v *control.VirtualRouter, now time.Time) (notes []cell) {
	if v.State == stateInitialize && v.LastReason != "" {
		notes = append(notes, cell{v.LastReason, bad})
	}
	if v.Contested != nil {
		notes = append(notes, cell{contested(v.Contested, now), bad})
	}
	if v.DampedUntil != nil {
		notes = append(notes, text("damped: silence alone is no reason to take over for "+span(v.DampedUntil.Sub(now))))
	}
	if v.State == stateMaster && !v.Forwarding {
		notes = append(notes, cell{"is Master, but does not forward: " + v.VirtualMAC.String() + " is not served", bad})
	}
	return notes
}

// contested says who else claims a virtual router.
func contested(c *router.ContestedStatus, now time.Time) string {
	since := c.Since.In(now.Location()).Format("2006-01-02 15:04:05")
	ways := map[string]string{"one_way": "one way", "both_ways": "both ways"}[c.Ways]
	s := fmt.Sprintf("contested since %s, %s: %s", since, ways, c.Reason)
	if c.NeighborMAC != nil && *c.NeighborMAC != c.MAC {
		s += "; its own MAC is " + c.NeighborMAC.String()
	}
	return printable(s)
}

// priority shows the effective priority, and the configured one where it
// differs.
func priority(v *control.VirtualRouter) string {
	if v.Priority == v.EffectivePriority {
		return strconv.Itoa(int(v.Priority))
	}
	return fmt.Sprintf("%d of %d", v.EffectivePriority, v.Priority)
}

func master(v *control.VirtualRouter) string {
	switch {
	case v.State == stateMaster:
		return "this router"
	case !v.Master.Address.IsValid():
		return "-"
	}
	return fmt.Sprintf("%s (%d)", v.Master.Address, v.Master.Priority)
}

// firstAddress shows the first address that is not link-local, and how many
// others there are.
func firstAddress(v *control.VirtualRouter) string {
	if len(v.Addresses) == 0 {
		return "-"
	}
	first := v.Addresses[0]
	for _, address := range v.Addresses {
		if !address.IsLinkLocalUnicast() {
			first = address
			break
		}
	}
	if more := len(v.Addresses) - 1; more > 0 {
		return fmt.Sprintf("%s +%d", first, more)
	}
	return first.String()
}

// drawVirtualRouter draws the page of one virtual router, with counters that
// are not zero, or with all.
func drawVirtualRouter(name string, all bool) screenFunc {
	return func(ctx context.Context, c *control.Client, s *screen, now time.Time) error {
		routers, err := c.VRRP(ctx, name)
		if err != nil {
			return err
		}
		for i := range routers {
			drawPage(s, &routers[i], now)
			var counters screen
			drawNumbers(&counters, routers[i].Counters, "    ", all)
			if counters.Len() > 0 {
				s.WriteString("  counters\n" + counters.String())
			}
		}
		return nil
	}
}

func drawPage(s *screen, v *control.VirtualRouter, now time.Time) {
	state := stateCell(v)
	s.WriteString(s.paint(v.Name, bold) + ": " + s.paint(state.text, state.style))
	if !v.Since.IsZero() {
		since := v.Since.In(now.Location()).Format("2006-01-02 15:04:05")
		fmt.Fprintf(s, " since %s (%s)", since, ago(now, v.Since))
	}
	s.WriteString("\n")
	for _, p := range problems(v, now) {
		s.WriteString("    " + s.paint(p.text, p.style) + "\n")
	}
	family := map[string]string{"ipv4": "IPv4", "ipv6": "IPv6"}[v.Family]
	current := master(v)
	if v.State == stateMaster && v.Master.Address.IsValid() {
		current = fmt.Sprintf("this router, %s (%d)", v.Master.Address, v.Master.Priority)
	}
	served := "not served"
	if v.Forwarding {
		served = "served"
	}
	for _, line := range [][2]string{
		{"last change", v.LastReason},
		{"transitions", count(v.Transitions)},
		{"interface", v.Interface},
		{"protocol", fmt.Sprintf("VRRP version %d, %s, VRID %d", v.Version, family, v.VRID)},
		{"addresses", joined(v.Addresses, " ")},
		{"virtual MAC", v.VirtualMAC.String() + ", " + served},
		{"priority", fmt.Sprintf("%d effective, %d configured", v.EffectivePriority, v.Priority)},
		{"preempt", yesNo(v.Preempt)},
		{"accept", yesNo(v.Accept)},
		{"master", current},
		{"advertisements", "every " + milliseconds(v.AdvertisementIntervalMS)},
		{"master down", fmt.Sprintf("after %s, of which %s skew time",
			milliseconds(v.MasterDownIntervalMS), milliseconds(v.SkewTimeMS))},
	} {
		fmt.Fprintf(s, "  %-16s%s\n", line[0], printable(line[1]))
	}
}
