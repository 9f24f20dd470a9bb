package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
	"vrouter/router"
)

func (a *app) showEventsCommand() *cobra.Command {
	var follow bool
	var since uint64
	c := &cobra.Command{
		Use:   "events",
		Short: "What has happened, oldest first",
		Args:  arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if follow {
				return a.followEvents(cmd.Context(), since)
			}
			parameters := url.Values{"since": {strconv.FormatUint(since, 10)}}
			return a.show(cmd, "events", parameters, drawEvents(since))
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with those to come, until interrupted; with --json one a line")
	c.Flags().Uint64Var(&since, "since", 0, "only events numbered above `N`")
	return c
}

func drawEvents(since uint64) screenFunc {
	return func(ctx context.Context, c *control.Client, s *screen, now time.Time) error {
		events, err := c.Events(ctx, since)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			s.WriteString("no events\n")
			return nil
		}
		t := table{header: []string{"NO", "TIME", "KIND", "NAME", "EVENT"}, right: []int{0}}
		day := ""
		for _, e := range events {
			date, clock, _ := strings.Cut(eventTime(e, now), " ")
			if date != day {
				t.add(text(""), cell{date, faint})
				day = date
			}
			t.add(
				text(strconv.FormatUint(e.Sequence, 10)), text(clock), text(e.Kind), text(e.Name),
				cell{eventText(e), eventStyle(e)},
			)
		}
		t.render(s)
		return nil
	}
}

// followEvents writes each event as it comes. The columns have the width that
// they usually need.
func (a *app) followEvents(ctx context.Context, since uint64) error {
	return a.client().FollowEvents(ctx, since, func(e router.Event) error {
		if a.json {
			return json.NewEncoder(a.stdout).Encode(e)
		}
		s := a.newScreen()
		fmt.Fprintf(s, "%4d  %s  %-17s  %-8s  %s\n", e.Sequence, eventTime(e, a.now()),
			printable(e.Kind), printable(e.Name), s.paint(eventText(e), eventStyle(e)))
		_, err := io.WriteString(a.stdout, s.String())
		return err
	})
}

func eventTime(e router.Event, now time.Time) string {
	return e.Time.In(now.Location()).Format("2006-01-02 15:04:05.000")
}

// eventText is the change and its reason.
func eventText(e router.Event) string {
	change := e.To
	if e.From != "" {
		change = e.From + " -> " + e.To
	}
	// A reason of a priority is whole by itself, for hooks and the log; here
	// the change stands before it.
	reason := strings.TrimSuffix(e.Reason, "; effective "+change)
	switch {
	case change == "":
		return e.Reason
	case reason == "":
		return change
	}
	return change + ": " + reason
}

func eventStyle(e router.Event) style {
	switch {
	case e.To == stateMaster || e.To == "up":
		return good
	case e.To == stateInitialize || e.To == "down" || e.Kind == "duplicate_address" || e.To == "contested":
		return bad
	}
	return plain
}
