package demo

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"vrouter/internal/netlab"
)

//go:embed router.toml.tmpl
var configText string

var configTemplate = template.Must(template.New("router.toml").Parse(configText))

// stopPatience is how long a router may take to end after SIGTERM.
const stopPatience = 5 * time.Second

// member is one of the two routers: a host with a LAN and a WAN device, and
// the vrouter process on it, if any.
type member struct {
	Name     string
	Number   int // last part of its addresses
	Priority int
	Socket   string

	binary   string
	config   string
	host     *netlab.Host
	lan, wan *netlab.Link
	process  *netlab.Process
}

// newMember writes the configuration of a router on a host.
func newMember(l *netlab.Lab, binary, name string, number, priority int) (*member, error) {
	m := &member{
		Name:     name,
		Number:   number,
		Priority: priority,
		Socket:   filepath.Join(l.Dir, name+".sock"),
		binary:   binary,
		config:   filepath.Join(l.Dir, name+".toml"),
	}
	var text strings.Builder
	if err := configTemplate.Execute(&text, m); err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.config, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	var err error
	m.host, err = l.Host(name)
	return m, err
}

func (m *member) start() (err error) {
	m.process, err = m.host.Start(m.binary, "run", "-c", m.config)
	return err
}

// crash kills the router process alone: its guardian tells the others, and
// starts another one.
func (m *member) crash() error {
	pid, err := m.routerPID()
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// routerPID returns the pid of the router process, the guardian's one child.
func (m *member) routerPID() (int, error) {
	children := m.process.Children()
	if len(children) != 1 {
		return 0, fmt.Errorf("%s has %d router processes, want one", m.Name, len(children))
	}
	return children[0], nil
}

// cutPower is a power failure: no process of the router gets to say goodbye.
func (m *member) cutPower() error {
	m.process.Kill()
	m.process = nil
	return nil
}

// stop ends the router in order.
func (m *member) stop() error {
	err := m.process.Stop(stopPatience)
	if err != nil {
		return fmt.Errorf("%s did not end in order: %w", m.Name, err)
	}
	m.process = nil
	return nil
}

// cut pulls the router's two cables, plug puts them back.
func (m *member) cut() error  { return errors.Join(m.lan.Cut(), m.wan.Cut()) }
func (m *member) plug() error { return errors.Join(m.lan.Plug(), m.wan.Plug()) }

// died returns an error where the router's process has ended by itself.
func (m *member) died() error {
	if m.process == nil {
		return nil
	}
	select {
	case <-m.process.Ended():
		return fmt.Errorf("%s ended by itself (%v)", m.Name, m.process.Err())
	default:
		return nil
	}
}

// output returns the end of what the router has logged.
func (m *member) output() string {
	const lines = 15
	all := strings.Split(strings.TrimSpace(m.process.Output()), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}

// states asks the router for the state of its virtual routers, by name.
func (m *member) states(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, m.binary, "show", "vrrp", "--json", "-s", m.Socket).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("show vrrp of %s: %w: %s", m.Name, err, exit.Stderr)
	}
	if err != nil {
		return nil, err
	}
	var list []struct{ Name, State string }
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("show vrrp of %s: %w", m.Name, err)
	}
	states := map[string]string{}
	for _, v := range list {
		states[v.Name] = v.State
	}
	return states, nil
}
