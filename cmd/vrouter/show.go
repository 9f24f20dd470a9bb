package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
)

func (a *app) showCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show TOPIC",
		Short: "Show the state of a running router",
		Args:  func(c *cobra.Command, args []string) error { return unknownCommand(c, args, "topic") },
		RunE:  func(c *cobra.Command, _ []string) error { return incomplete(c, "a topic") },
	}
	c.PersistentFlags().BoolVar(&a.json, "json", false, "write JSON, for programs")
	a.addSocketFlag(c)
	c.AddCommand(
		a.showVRRPCommand(),
		a.showInterfacesCommand(),
		a.showRoutesCommand(),
		a.showNeighborsCommand(),
		a.showBGPCommand(),
		a.showBFDCommand(),
		a.showChecksCommand(),
		a.showCountersCommand(),
		a.showEventsCommand(),
	)
	return c
}

// screenFunc asks the router and draws what it answers.
type screenFunc func(ctx context.Context, c *control.Client, s *screen, now time.Time) error

// show runs one topic: draw for people, the router's own JSON for programs.
func (a *app) show(cmd *cobra.Command, topic string, parameters url.Values, draw screenFunc) error {
	if a.json {
		return a.showJSON(cmd.Context(), topic, parameters)
	}
	s := a.newScreen()
	if err := draw(cmd.Context(), a.client(), s, a.now()); err != nil {
		return err
	}
	return a.print(s)
}

func (a *app) showJSON(ctx context.Context, topic string, parameters url.Values) error {
	answer, err := a.client().Show(ctx, topic, parameters)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(answer), "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = a.stdout.Write(out.Bytes())
	return err
}
