package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
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
	netlab.Vrouter
	Number   int // last part of its addresses
	Priority int

	lan, wan *netlab.Link
}

// newMember writes the configuration of a router on a host.
func newMember(l *netlab.Lab, binary, name string, number, priority int) (*member, error) {
	m := &member{Number: number, Priority: priority, Vrouter: netlab.Vrouter{
		Name: name, Binary: binary, Socket: filepath.Join(l.Dir, name+".sock"), Config: filepath.Join(l.Dir, name+".toml"),
	}}
	var text strings.Builder
	if err := configTemplate.Execute(&text, m); err != nil {
		return nil, err
	}
	if err := os.WriteFile(m.Config, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	var err error
	m.Host, err = l.Host(name)
	return m, err
}

// crash kills the router process alone: its guardian tells the others, and
// starts another one.
func (m *member) crash() error {
	pid, err := m.RouterPID()
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// cutPower is a power failure: no process of the router gets to say goodbye.
func (m *member) cutPower() error {
	m.Process.Kill()
	m.Process = nil
	return nil
}

// stop ends the router in order.
func (m *member) stop() error {
	err := m.Process.Stop(stopPatience)
	if err != nil {
		return fmt.Errorf("%s did not end in order: %w", m.Name, err)
	}
	m.Process = nil
	return nil
}

// cut pulls the router's two cables, plug puts them back.
func (m *member) cut() error  { return errors.Join(m.lan.Cut(), m.wan.Cut()) }
func (m *member) plug() error { return errors.Join(m.lan.Plug(), m.wan.Plug()) }

// died returns an error where the router's process has ended by itself.
func (m *member) died() error {
	if m.Process == nil {
		return nil
	}
	select {
	case <-m.Process.Ended():
		return fmt.Errorf("%s ended by itself (%v)", m.Name, m.Process.Err())
	default:
		return nil
	}
}

// states asks the router for the state of its virtual routers, by name.
func (m *member) states(ctx context.Context) (map[string]string, error) {
	var list []struct{ Name, State string }
	if err := m.Show(ctx, "vrrp", &list); err != nil {
		return nil, err
	}
	states := map[string]string{}
	for _, v := range list {
		states[v.Name] = v.State
	}
	return states, nil
}
