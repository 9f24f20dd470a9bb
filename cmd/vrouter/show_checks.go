package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vrouter/control"
	"vrouter/router"
)

func (a *app) showChecksCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "checks",
		Short: "Health checks",
		Args:  arguments(0, 0, ""),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.show(cmd, "checks", nil, drawChecks) },
	}
}

func drawChecks(ctx context.Context, c *control.Client, s *screen, now time.Time) error {
	list, err := c.Checks(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		s.WriteString("no checks configured\n")
		return nil
	}
	t := table{
		header:   []string{"NAME", "STATE", "FOR", "PROBE", "EVERY", "LAST", "RESULT"},
		optional: []int{4, 2},
	}
	for i := range list {
		k := &list[i]
		r := t.add(
			text(k.Name), upDownCell(k.State), text(lasting(now, k.Since)), text(probe(k)),
			text(milliseconds(k.IntervalMS)), text(ago(now, k.Last)), text(checkResult(k)),
		)
		if !k.OK && k.Detail != "" {
			r.notes = []cell{{k.Detail, bad}} // a program's last line may be long
		}
	}
	t.render(s)
	return nil
}

// probe says what is tried; of a program its name, without the directory.
func probe(k *router.CheckStatus) string {
	target := k.Target
	if k.Kind == "exec" {
		program, arguments, _ := strings.Cut(target, " ")
		target = strings.TrimSpace(filepath.Base(program) + " " + arguments)
	}
	const most = 32 // a program may have many arguments
	if runes := []rune(target); len(runes) > most {
		target = string(runes[:most-3]) + "..."
	}
	return k.Kind + " " + target
}

// upDownCell emphasises a state.
func upDownCell(state string) cell {
	switch state {
	case "up":
		return cell{state, good}
	case "down":
		return cell{state, bad}
	}
	return cell{state, warn}
}

// checkResult is the last result, and how far it is from changing the state.
func checkResult(k *router.CheckStatus) string {
	if k.Last.IsZero() {
		return "none yet"
	}
	word, need, state := "failed", k.Fall, "down"
	if k.OK {
		word, need, state = "ok", k.Rise, "up"
	}
	if k.State != state {
		word += fmt.Sprintf(" %d of %d", k.Consecutive, need)
	}
	if k.OK && k.Detail != "" {
		word += ": " + k.Detail
	}
	return word
}
