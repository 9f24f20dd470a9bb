package netlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Vrouter is a vrouter on a host: a guardian, which is its process, and the router
// process.
type Vrouter struct {
	Name, Binary, Config, Socket string

	Host    *Host
	Process *Process // nil: it does not run
}

// Start runs it.
func (v *Vrouter) Start() (err error) {
	v.Process, err = v.Host.Start(v.Binary, "run", "-c", v.Config)
	return err
}

// RouterPID returns the router process among the guardian's children.
func (v *Vrouter) RouterPID() (int, error) {
	for _, pid := range v.Process.Children() {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.HasPrefix(string(title), "vrouter: router") {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("%s has no router process", v.Name)
}

// Show asks it, as `vrouter show TOPIC --json`, and decodes the answer.
func (v *Vrouter) Show(ctx context.Context, topic string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, v.Binary, "show", topic, "--json", "-s", v.Socket).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		return fmt.Errorf("show %s of %s: %w", topic, v.Name, err)
	}
	return nil
}
