package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"vrouter/config"
	"vrouter/control"
)

// Exit statuses, a contract with scripts.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const defaultConfig = "/etc/vrouter/vrouter.toml"

// app is one run of the command.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	now    func() time.Time // its location is the one that times are shown in

	guarded bool // "run" starts a guardian; else this process is the router

	socket string // flag -s
	json   bool   // flag --json of show
}

// errReported ends a command whose output has said what failed.
var errReported = errors.New("reported")

// usageError is a mistake of the command line: exit status 2.
type usageError struct {
	message string
	command *cobra.Command
}

func (e *usageError) Error() string { return e.message }

// main1 runs the command line and returns the exit status.
func main1(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	a := &app{
		stdin: os.Stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv, now: time.Now, guarded: true,
	}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	var failed *control.Error
	var mistakes config.Errors
	var status exitStatus
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errReported):
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintf(a.stderr, "vrouter: %s\nSee \"%s --help\".\n", usage.message, usage.command.CommandPath())
		return exitUsage
	case errors.As(err, &mistakes):
		fmt.Fprintln(a.stderr, mistakes) // FILE:LINE first, for editors
	case errors.As(err, &failed):
		fmt.Fprintf(a.stderr, "vrouter: %s\n", printable(failed.Message))
		if failed.Remedy != "" {
			fmt.Fprintf(a.stderr, "  %s\n", printable(failed.Remedy))
		}
	default:
		fmt.Fprintf(a.stderr, "vrouter: %v\n", err)
	}
	return exitFailed
}

func (a *app) rootCommand() *cobra.Command {
	cobra.EnableCommandSorting = false // the order below is the one of the help
	root := &cobra.Command{
		Use:   "vrouter",
		Short: "A virtual router: VRRP and forwarding in one process",
		Long: `vrouter is a virtual router in user space: it answers for the virtual addresses
that VRRP gives it, and forwards packets in its own process.

Exit status: 0 done, 1 failed, 2 wrong usage.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// The own check, in place of cobra's, makes an unknown command a
		// mistake of usage.
		Args: func(c *cobra.Command, args []string) error { return unknownCommand(c, args, "command") },
		RunE: func(c *cobra.Command, _ []string) error { return incomplete(c, "a command") },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return &usageError{err.Error(), c} })
	root.AddCommand(
		a.runCommand(),
		a.checkCommand(),
		a.demoCommand(),
		a.showCommand(),
		a.reloadCommand(),
		a.switchoverCommand(),
		a.drainCommand(),
		a.pingCommand(),
		a.topCommand(),
		a.versionCommand(),
	)
	return root
}

// unknownCommand refuses the words that no subcommand has taken, and proposes
// similar ones.
func unknownCommand(c *cobra.Command, args []string, kind string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("unknown %s %q", kind, args[0])
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		message += "; did you mean " + strings.Join(near, " or ") + "?"
	} else {
		message += "; known ones: " + strings.Join(subcommands(c), " ")
	}
	return &usageError{message, c}
}

// incomplete refuses a command line that stops before its subcommand.
func incomplete(c *cobra.Command, what string) error {
	return &usageError{"say " + what + ": " + strings.Join(subcommands(c), " "), c}
}

func subcommands(c *cobra.Command) (names []string) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
			names = append(names, sub.Name())
		}
	}
	return names
}

// arguments makes a wrong number of arguments a mistake of usage.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return &usageError{what + " is missing", c}
		case len(args) > most:
			return &usageError{fmt.Sprintf("unexpected argument %q", args[most]), c}
		}
		return nil
	}
}

// addSocketFlag gives a command that talks to a running router the flag -s.
func (a *app) addSocketFlag(c *cobra.Command) {
	c.PersistentFlags().StringVarP(&a.socket, "socket", "s", "",
		"`SOCKET` of the router (default $VROUTER_SOCKET, or "+control.DefaultSocket+")")
}

// client returns the client for the router that the command line means.
func (a *app) client() *control.Client { return control.NewClient(a.socketPath()) }

// socketPath is where that router listens.
func (a *app) socketPath() string {
	for _, socket := range []string{a.socket, a.getenv("VROUTER_SOCKET")} {
		if socket != "" {
			return socket
		}
	}
	return control.DefaultSocket
}
