package main

import (
	"github.com/spf13/cobra"

	"vrouter/lab/demo"
)

func (a *app) demoCommand() *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show two routers and their failovers, on this machine",
		Long: `Two vrouter processes serve a LAN with a host and an upstream, all in network
namespaces of this machine; no root and no configuration needed. The routers
crash, come back, lose their cables and are stopped, and a timeline tells what
each of that cost.

Exit status 0 only if traffic flowed again each time.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo.Run(cmd.Context(), demo.Options{Keep: keep, Out: a.stdout, Color: a.colour()})
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "leave the lab running at the end, until interrupted")
	return c
}
