package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) switchoverCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "switchover NAME",
		Short: "Hand a virtual router over to its backup, in order",
		Long: `The router that is Master of the virtual router NAME gives it up in order: it goes
on forwarding until the next Master is heard.`,
		Args: arguments(1, 1, "the name of a virtual router"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().Switchover(cmd.Context(), args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "%s: handing over; \"vrouter show vrrp %s\" shows the outcome\n", args[0], args[0])
			return err
		},
	}
	a.addSocketFlag(c)
	return c
}
