package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"vrouter/control"
)

func (a *app) reloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Read the configuration file again",
		Long: `The running router reads its configuration file again, as after SIGHUP. The whole
file is checked first; a mistake anywhere changes nothing. Applied are changes of
[[vrrp]], [[check]], [[notify]] and [[route]]; others need a restart, and the reload
says so.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.client().Reload(cmd.Context())
			var failed *control.Error
			if errors.As(err, &failed) && failed.Status == http.StatusUnprocessableEntity {
				// FILE:LINE comes first in a line, for editors.
				for line := range strings.Lines(failed.Message) {
					fmt.Fprintln(a.stderr, printable(strings.TrimSuffix(line, "\n")))
				}
				fmt.Fprintln(a.stderr, printable(failed.Remedy))
				return errReported
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, `reloaded; "vrouter show events" tells what has changed`)
			return err
		},
	}
	a.addSocketFlag(c)
	return c
}
