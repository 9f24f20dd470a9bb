package main

import (
	"os"
	"slices"

	"github.com/spf13/cobra"

	"vrouter/daemon"
	"vrouter/guardian"
)

// exitStatus ends a command with a status, having said all that there is to say.
type exitStatus int

func (exitStatus) Error() string { return "the router process has failed" }

func (a *app) runCommand() *cobra.Command {
	file := defaultConfig
	c := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the router, in the foreground",
		Long: `The router runs until SIGTERM or SIGINT, then hands its virtual routers over and
exits with status 0. It logs to stderr.

It is two processes: the guardian, which this command becomes, and the router
process, which the guardian starts again whenever it ends unasked. With [bgp]
there is a third one, which speaks BGP.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := daemon.Options{ConfigFile: file, Log: a.stderr, Version: version}
			if a.guarded {
				return a.runGuarded(cmd, o)
			}
			return daemon.Run(cmd.Context(), o)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", file, "configuration `FILE`")
	return c
}

// self is the program that this process runs, also where its file was replaced.
const self = "/proc/self/exe"

// runGuarded does a process' part, which depends on who has started it.
func (a *app) runGuarded(cmd *cobra.Command, o daemon.Options) (err error) {
	titled := func(title string) []string { return append([]string{title}, os.Args[1:]...) }
	switch guardian.TakeRole() {
	case guardian.RoleRouter:
		guardian.Name("vrouter: router")
		if o.Guardian, err = guardian.Inherit(); err != nil {
			return err
		}
		return daemon.Run(cmd.Context(), o)
	case guardian.RoleCompanion:
		guardian.Name("vrouter: bgp")
		return daemon.RunBGP(cmd.Context(), guardian.CompanionText(), o.Log)
	case guardian.RoleNone:
		// Without /proc the guardian goes on without its title; the router
		// process could not be started either, and says so.
		_ = guardian.Retitle(self, titled("vrouter: guardian"))
	}
	guardian.Name("vrouter: guardian")
	status, err := guardian.Run(guardian.Options{
		Path: self, Args: titled("vrouter: router"), Companion: titled("vrouter: bgp"), Env: slices.Clip(os.Environ()), Stderr: a.stderr,
	})
	if err == nil && status != exitDone {
		return exitStatus(status)
	}
	return err
}
