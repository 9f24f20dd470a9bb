package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
		header:   []string{"NAME", "INTERFACE", "GROUP", "VRID", "STATE", "PRIO", "MASTER", "FOR", "ADDRESSES"},
		right:    []int{3},
		optional: []int{1, 7, 2}, // the page of one virtual router has them
	}
	if !slices.ContainsFunc(routers, func(v control.VirtualRouter) bool { return v.Group != nil }) {
		t.optional = []int{1, 7}
		t.without = []int{2}
	}
	for i := range routers {
		v := &routers[i]
		r := t.add(
			text(v.Name), text(v.Interface), text(group(v)), text(strconv.Itoa(int(v.VRID))), stateCell(v),
			text(priority(v)), text(master(v)), text(lasting(now, v.Since)), text(firstAddress(v)),
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

// problems says why a virtual router does not do its work, or not yet.
func problems(v *control.VirtualRouter, now time.Time) (notes []cell) {
	switch {
	case v.State == stateInitialize && v.Obstacle != "":
		notes = append(notes, cell{v.Obstacle, bad})
	case v.State == stateInitialize && v.LastReason != "":
		notes = append(notes, cell{v.LastReason, bad})
	}
	for i := range v.Terms {
		if t := &v.Terms[i]; t.Kind == "drain" {
			notes = append(notes, cell{t.Reason, warn})
		}
	}
	if h := v.Holding; h != nil {
		notes = append(notes, cell{"holding back: " + h.Reason + "; at most " + span(h.Until.Sub(now)) + " more", warn})
	}
	if v.Group != nil && v.Group.Waiting != "" {
		notes = append(notes, cell{v.Group.Waiting, warn})
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

func group(v *control.VirtualRouter) string {
	if v.Group == nil {
		return "-"
	}
	return v.Group.Name
}

// priority shows the effective priority, and the configured one where it
// differs.
func priority(v *control.VirtualRouter) string {
	if v.Priority == v.EffectivePriority {
		return strconv.Itoa(int(v.Priority))
	}
	return fmt.Sprintf("%d/%d", v.EffectivePriority, v.Priority)
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
		s.note(p)
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
	fields := [][2]string{
		{"last change", v.LastReason},
		{"transitions", count(v.Transitions)},
		{"interface", v.Interface},
		{"protocol", fmt.Sprintf("VRRP version %d, %s, VRID %d", v.Version, family, v.VRID)},
		{"addresses", joined(v.Addresses, " ")},
		{"virtual MAC", v.VirtualMAC.String() + ", " + served},
		{"priority", fmt.Sprintf("%d effective, %d configured", v.EffectivePriority, v.Priority)},
	}
	for i := range v.Terms {
		t := &v.Terms[i]
		fields = append(fields, [2]string{"", strings.TrimSuffix(t.Kind+" "+t.Name, " router") + " " + termText(t)})
	}
	if v.Group != nil {
		fields = append(fields, [2]string{"group", v.Group.Name + ": " + strings.Join(v.Group.Members, " ")})
	}
	fields = append(fields, [][2]string{
		{"preempt", yesNo(v.Preempt)},
		{"accept", yesNo(v.Accept)},
		{"master", current},
		{"advertisements", "every " + milliseconds(v.AdvertisementIntervalMS)},
		{"master down", fmt.Sprintf("after %s, of which %s skew time",
			milliseconds(v.MasterDownIntervalMS), milliseconds(v.SkewTimeMS))},
		{"would win", winner(v)},
		{"if master died", v.IfMasterDied},
	}...)
	for _, f := range fields {
		drawField(s, f[0], printable(f[1]))
	}
}

// termText says what a term does to the priority now, or would.
func termText(t *router.TermStatus) string {
	state := "is up"
	switch {
	case !t.Known:
		state = "is not known yet, counts as up"
	case t.Kind == "drain":
		return fmt.Sprintf("takes off %d", -t.Effect)
	case !t.Up:
		state = "is down"
	}
	switch {
	case t.Weight == 0 && !t.Up && t.Known:
		state += ", a fault: this router takes no part"
	case t.Weight == 0:
		state += " (else a fault)"
	case t.Effect != 0:
		state += fmt.Sprintf(", takes off %d", -t.Effect)
	case t.Up || !t.Known:
		state += fmt.Sprintf(" (else takes off %d)", t.Weight)
	}
	if t.Reason != "" {
		state += ": " + t.Reason
	}
	return state
}

// winner says who would win an election now.
func winner(v *control.VirtualRouter) string {
	w := &v.WouldWin
	if !w.Address.IsValid() {
		return w.Reason
	}
	return fmt.Sprintf("%s (%d): %s", w.Address, w.Priority, w.Reason)
}

// drawField writes one field of a page. What is longer than a line goes on
// under itself.
func drawField(s *screen, name, value string) {
	const indent = 18
	for _, line := range wrap(value, s.width()-indent) {
		s.WriteString(strings.TrimRight(fmt.Sprintf("  %-16s%s", name, line), " ") + "\n")
		name = ""
	}
}
