package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"vrouter/config"
	"vrouter/control"
)

func (a *app) checkCommand() *cobra.Command {
	file := defaultConfig
	c := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Check a configuration file",
		Long: `Every error of the file is written as FILE:LINE: what is wrong; what would be right.
Nothing is opened or changed.`,
		Args: arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error { return a.check(file) },
	}
	c.Flags().StringVarP(&file, "config", "c", file, "configuration `FILE`; - is the standard input")
	return c
}

func (a *app) check(file string) error {
	content, err := a.readConfig(file)
	if err != nil {
		return err
	}
	if file == "-" {
		file = "stdin"
	}
	parsed, err := config.Parse(file, content)
	if err != nil {
		fmt.Fprintln(a.stdout, err)
		return errReported
	}
	_, err = fmt.Fprintf(a.stdout, "%s: ok: %s, %s, %s\n", file,
		plural(len(parsed.Interfaces), "interface"),
		plural(len(parsed.VRRP), "virtual router"),
		plural(len(parsed.Routes), "route"))
	return err
}

// readConfig returns the text of the file, or of the standard input.
func (a *app) readConfig(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(a.stdin)
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &control.Error{
			Message: "there is no file " + file,
			Remedy:  "name the configuration file with -c FILE",
		}
	}
	return content, err
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
