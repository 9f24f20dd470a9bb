package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

//go:embed vrouter.toml.tmpl
var vrouterText string

var vrouterTemplate = template.Must(template.New("vrouter.toml").Parse(vrouterText))

// virtual is one virtual router, in the words of every daemon's configuration.
type virtual struct {
	Name, Side string
	VRID       int
	Family     int // 4, 6
	List       []string
}

// Addresses returns the addresses as a TOML list's content.
func (v virtual) Addresses() string { return `"` + strings.Join(v.List, `", "`) + `"` }

var virtuals = []virtual{
	{"lan4", "lan", vridLAN, 4, []string{"192.0.2.1"}},
	{"lan6", "lan", vridLAN, 6, []string{"fe80::1", "2001:db8:1::1"}},
	{"wan4", "wan", vridWAN, 4, []string{"203.0.113.1"}},
	{"wan6", "wan", vridWAN, 6, []string{"fe80::1", "2001:db8:2::1"}},
}

// vrouter is the program of this module.
type vrouter struct {
	Name, Socket     string
	Number, Priority int
	Interval         time.Duration
	Virtual          []virtual

	binary, config string
	place          *place
	process        *netlab.Process
}

func newVrouter(binary string, p *place, interval time.Duration) (daemon, error) {
	v := &vrouter{
		Name: p.name, Number: p.number, Priority: p.priority, Interval: interval, Virtual: virtuals,
		Socket: filepath.Join(p.dir, p.name+".sock"),
		binary: binary, config: filepath.Join(p.dir, p.name+".toml"), place: p,
	}
	return v, v.write()
}

func (v *vrouter) write() error {
	var text strings.Builder
	if err := vrouterTemplate.Execute(&text, v); err != nil {
		return err
	}
	return os.WriteFile(v.config, []byte(text.String()), 0o600)
}

func (v *vrouter) start() (err error) {
	v.process, err = v.place.host.Start(v.binary, "run", "-c", v.config)
	return err
}

func (v *vrouter) running() bool { return running(v.process) }
func (v *vrouter) stop() error   { return v.process.Stop(stopPatience) }
func (v *vrouter) killed()       {}
func (v *vrouter) log() string   { return v.process.Output() }

// vrrp returns the router process: the child of the guardian.
func (v *vrouter) vrrp() (int, error) {
	if list := children(v.process.PID()); len(list) > 0 {
		return list[0], nil
	}
	return v.process.PID(), nil
}

// processes returns the guardian first.
func (v *vrouter) processes() ([]int, error) {
	return append([]int{v.process.PID()}, children(v.process.PID())...), nil
}

func (v *vrouter) setPriority(priority int) error {
	v.Priority = priority
	if err := v.write(); err != nil {
		return err
	}
	return v.process.Signal(unix.SIGHUP)
}
