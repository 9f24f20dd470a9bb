package main

import (
	"github.com/spf13/cobra"

	"vrouter/daemon"
)

func (a *app) runCommand() *cobra.Command {
	file := defaultConfig
	c := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the router, in the foreground",
		Long: `The router runs until SIGTERM or SIGINT, then hands its virtual routers over and
exits with status 0. It logs to stderr.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return daemon.Run(cmd.Context(), daemon.Options{ConfigFile: file, Log: a.stderr})
		},
	}
	c.Flags().StringVarP(&file, "config", "c", file, "configuration `FILE`")
	return c
}
