package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
	"vrouter/router"
)

func (a *app) showInterfacesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "interfaces",
		Short: "Interfaces, their addresses and traffic",
		Args:  arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd, "interfaces", nil, drawInterfaces)
		},
	}
}

func drawInterfaces(ctx context.Context, c *control.Client, s *screen, _ time.Time) error {
	interfaces, err := c.Interfaces(ctx)
	if err != nil {
		return err
	}
	if len(interfaces) == 0 {
		s.WriteString("no interfaces configured\n")
		return nil
	}
	t := table{
		header: []string{
			"NAME", "DEVICE", "ATTACH", "STATE", "MTU",
			"RX PKTS", "RX BYTES", "TX PKTS", "TX BYTES",
		},
		right:    []int{4, 5, 6, 7, 8},
		optional: []int{2},
	}
	for i := range interfaces {
		n := &interfaces[i]
		state := cell{"up", good}
		if !n.Up {
			state = cell{"down", bad}
		}
		r := t.add(
			text(n.Name), text(n.Device), text(n.Attach), state, text(strconv.Itoa(n.MTU)),
			text(count(n.RX.Packets)), text(size(n.RX.Bytes)), text(count(n.TX.Packets)), text(size(n.TX.Bytes)),
		)
		r.notes = interfaceNotes(n)
	}
	t.render(s)
	return nil
}

func interfaceNotes(n *router.InterfaceStatus) (notes []cell) {
	if n.Problem != "" {
		notes = append(notes, cell{n.Problem, bad})
	}
	var own []string
	if !n.MAC.IsZero() {
		own = append(own, n.MAC.String())
	}
	if len(n.Addresses) > 0 {
		own = append(own, joined(n.Addresses, " "))
	}
	if len(own) > 0 {
		notes = append(notes, text(strings.Join(own, "  ")))
	}
	if n.RA != nil {
		from := "from nobody while no virtual router is Master here"
		if len(n.RA.From) > 0 {
			from = "from " + joined(n.RA.From, " ")
		}
		notes = append(notes, text(fmt.Sprintf("router advertisements %s; %s sent", from, count(n.RA.Sent))))
	}
	if h := n.HostTAP; h != nil {
		state := text(fmt.Sprintf("the host's, on %s: %s packets to it, %s from it", h.Device, count(h.ToHost.Packets), count(h.FromHost.Packets)))
		if !h.Up {
			state = cell{fmt.Sprintf("not the host's: %s: %s", h.Device, cmp.Or(h.Problem, "it is not there yet")), bad}
		}
		notes = append(notes, state)
		if h.Up && h.Problem != "" {
			notes = append(notes, cell{h.Device + ": " + h.Problem, bad})
		}
	}
	if n.RX.Dropped > 0 || n.TX.Dropped > 0 {
		notes = append(notes, cell{
			fmt.Sprintf("dropped: %s received, %s to send", count(n.RX.Dropped), count(n.TX.Dropped)), warn,
		})
	}
	return notes
}
