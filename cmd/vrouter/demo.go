package main

import (
	"github.com/spf13/cobra"

	"vrouter/lab/demo"
	"vrouter/lab/wan"
)

func (a *app) demoCommand() *cobra.Command {
	var keep bool
	var scenario string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show two routers and their failovers, on this machine",
		Long: `Two vrouter processes serve a LAN with a host and an upstream, all in network
namespaces of this machine; no root and no configuration needed. The routers
crash, come back, lose their cables and are stopped, and a timeline tells what
each of that cost.

With --scenario bgp each of the two has an Internet provider of its own, by BGP
and BFD: BIRD and FRR where they are installed, else vrouter as well. Links and
providers fail, too, and a table tells what each of that cost, and what it may.

Exit status 0 only if traffic flowed again each time; with --scenario bgp, within
its bound.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case scenario == "bgp" && keep:
				return &usageError{"--keep is for the scenario gateway; leave it out", cmd}
			case scenario == "bgp":
				return wan.Run(cmd.Context(), wan.Options{Out: a.stdout})
			case scenario != "gateway":
				return &usageError{"--scenario is gateway or bgp, not " + scenario, cmd}
			}
			return demo.Run(cmd.Context(), demo.Options{Keep: keep, Out: a.stdout, Color: a.colour()})
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "leave the lab running at the end, until interrupted")
	c.Flags().StringVar(&scenario, "scenario", "gateway", "what is shown: gateway (VRRP alone), or bgp (with two providers)")
	return c
}
