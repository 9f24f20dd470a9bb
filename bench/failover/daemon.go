package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

// stopPatience is how long a daemon may take to end in order.
const stopPatience = 10 * time.Second

// daemon is an implementation of VRRP on one place of the network.
type daemon interface {
	start() error
	running() bool
	stop() error                    // in order; it has ended when this returns
	vrrp() (pid int, err error)     // the process that speaks VRRP
	processes() ([]int, error)      // all of its processes
	setPriority(priority int) error // in its configuration, and makes it read that
	killed()                        // it was killed: cleans up what keeps it from starting again
	log() string
}

// kind is an implementation that can be measured.
type kind struct {
	name    string
	title   string
	about   string // how it is configured, for the report
	groups  bool   // its virtual routers change state together
	checks  bool   // it looks whether the upstream is alive
	reloads bool
	// virtualMAC: hosts see the virtual MAC of the RFC.
	virtualMAC bool
	// smallest is the smallest interval that it is measured with.
	smallest time.Duration
	version  func() (string, error) // an error: it is not here
	make     func(p *place, interval time.Duration) (daemon, error)
}

// find returns the path of a program, which may be where daemons are.
func find(program string) (string, error) {
	for _, candidate := range []string{program, "/usr/sbin/" + program, "/usr/lib/frr/" + program} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", program)
}

// firstLine returns the first line of what a program prints.
func firstLine(program string, args ...string) (string, error) {
	path, err := find(program)
	if err != nil {
		return "", err
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line, err
}

// children returns the processes that a process has started and that have not
// ended.
func children(pid int) (list []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		text, _ := os.ReadFile(path) // the thread may have ended
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// processState returns the letter of a process's state as in ps: "T" is
// stopped; "" where there is no such process, or only its remains.
func processState(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name before it is in parentheses and may hold anything.
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
	state, _, _ := strings.Cut(rest, " ")
	if state == "Z" || state == "X" {
		return ""
	}
	return state
}

func running(p *netlab.Process) bool {
	if p == nil {
		return false
	}
	select {
	case <-p.Ended():
		return false
	default:
		return true
	}
}

// kernelRouter makes the kernel of a place forward, for daemons that leave
// forwarding to it.
func kernelRouter(p *place) error {
	var errs []error
	for side, dev := range sideNames {
		errs = append(errs, p.host.Address(dev, p.own(side)...))
	}
	for key, value := range map[string]string{
		"net/ipv4/ip_forward":                  "1",
		"net/ipv6/conf/all/forwarding":         "1",
		"net/ipv4/conf/all/rp_filter":          "0",
		"net/ipv4/conf/default/rp_filter":      "0",
		"net/ipv4/conf/all/send_redirects":     "0",
		"net/ipv4/conf/default/send_redirects": "0",
		// Only the device that has an address may answer for it.
		"net/ipv4/conf/all/arp_ignore":     "1",
		"net/ipv4/conf/default/arp_ignore": "1",
	} {
		errs = append(errs, p.host.Sysctl(key, value))
	}
	errs = append(errs,
		p.host.Route("0.0.0.0/0", upstream[0].String(), ""),
		p.host.Route("::/0", upstream[1].String(), "wan"))
	return errors.Join(errs...)
}

// signalAll sends a signal to processes.
func signalAll(pids []int, s unix.Signal) error {
	for _, pid := range pids {
		if err := unix.Kill(pid, s); err != nil {
			return fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return nil
}
