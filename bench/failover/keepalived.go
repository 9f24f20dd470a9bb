package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

//go:embed keepalived.conf.tmpl
var keepalivedText string

var keepalivedTemplate = template.Must(template.New("keepalived.conf").Parse(keepalivedText))

// Prefixes returns the addresses with the lengths of their prefixes.
func (v virtual) Prefixes() (list []string) {
	length := "/24"
	if v.Family == 6 {
		length = "/64"
	}
	for _, a := range v.List {
		list = append(list, a+length)
	}
	return list
}

// keepalived leaves forwarding and answering to the kernel. By default the
// virtual addresses are on the devices and have their MAC; with VirtualMAC
// they are on macvlan devices with the virtual MAC.
type keepalived struct {
	Name       string
	Priority   int
	Seconds    float64 // the interval
	VirtualMAC bool
	Urgent     bool   // VRRP before ordinary programs; needs root
	Ping       string // path of the program ping
	Virtual    []virtual

	args    []string
	config  string
	pidFile string // of the process that speaks VRRP
	place   *place
	process *netlab.Process
}

func newKeepalived(p *place, interval time.Duration, virtualMAC bool) (daemon, error) {
	program, err := find("keepalived")
	if err != nil {
		return nil, err
	}
	ping, err := find("ping")
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(p.dir, p.name+"-keepalived"+name) }
	k := &keepalived{
		Name: p.name, Priority: p.priority, Seconds: interval.Seconds(), VirtualMAC: virtualMAC,
		Urgent: !netlab.SingleUser(), Ping: ping, Virtual: virtuals,
		config: file(".conf"), pidFile: file("-vrrp.pid"), place: p,
	}
	k.args = []string{
		program, "--dont-fork", "--log-console", "--vrrp", "--use-file", k.config,
		"--pid", file(".pid"), "--vrrp_pid", k.pidFile,
	}
	return k, errors.Join(k.write(), kernelRouter(p))
}

func (k *keepalived) write() error {
	var text strings.Builder
	if err := keepalivedTemplate.Execute(&text, k); err != nil {
		return err
	}
	return os.WriteFile(k.config, []byte(text.String()), 0o600)
}

func (k *keepalived) start() (err error) {
	k.process, err = k.place.host.Start(k.args...)
	return err
}

func (k *keepalived) running() bool { return running(k.process) }
func (k *keepalived) stop() error   { return k.process.Stop(stopPatience) }
func (k *keepalived) log() string   { return k.process.Output() }

// killed takes the rest of its process group with it and the files away by
// which it would take itself for running. What it left in the kernel it takes
// over when it starts again.
func (k *keepalived) killed() {
	k.process.Kill()
	os.Remove(k.pidFile)
	os.Remove(filepath.Join(k.place.dir, k.place.name+"-keepalived.pid"))
}

func (k *keepalived) vrrp() (int, error) {
	text, err := os.ReadFile(k.pidFile)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || processState(pid) == "" {
		return 0, fmt.Errorf("keepalived on %s: no process that speaks VRRP (%q)", k.Name, text)
	}
	return pid, nil
}

// processes returns the parent first, which would start the other anew.
func (k *keepalived) processes() ([]int, error) {
	pid, err := k.vrrp()
	return []int{k.process.PID(), pid}, err
}

func (k *keepalived) setPriority(priority int) error {
	k.Priority = priority
	if err := k.write(); err != nil {
		return err
	}
	return k.process.Signal(unix.SIGHUP)
}
