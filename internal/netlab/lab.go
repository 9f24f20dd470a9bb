package netlab

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Lab is one network: hosts and the switches between them. Its methods, and
// those of its parts, may be called from several goroutines.
type Lab struct {
	Dir string // scratch directory: logs, sockets, configurations; gone after Close

	mu        sync.Mutex
	hosts     []*Host
	processes []*Process
	switches  *Host // the namespace of all bridges, made with the first
	closed    bool
}

// New returns an empty network.
func New() (*Lab, error) {
	if !Inside() {
		return nil, errors.New("netlab: not inside namespaces of its own: see Run and Main")
	}
	// Processes that hosts started and that lost their parent come to this
	// process, so that Close finds them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "vrouter-lab-")
	if err != nil {
		return nil, err
	}
	return &Lab{Dir: dir}, nil
}

// Host adds a host: a network namespace with nothing but its loopback device.
// It forwards nothing, believes no router advertisement, and uses its IPv6
// addresses at once, without duplicate address detection.
func (l *Lab) Host(name string) (*Host, error) {
	h, err := newHost(l, name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		h.close()
		return nil, errors.New("netlab: closed")
	}
	l.hosts = append(l.hosts, h)
	return h, nil
}

// Close ends every process, and takes the network down.
func (l *Lab) Close() error {
	l.mu.Lock()
	processes, hosts := l.processes, l.hosts
	l.closed = true
	l.processes, l.hosts = nil, nil
	l.mu.Unlock()
	for i := len(processes) - 1; i >= 0; i-- {
		processes[i].Kill()
	}
	killOrphans(hosts)
	for _, h := range hosts {
		h.close()
	}
	return os.RemoveAll(l.Dir)
}

// switchHost returns the namespace in which all bridges of the lab are.
func (l *Lab) switchHost() (*Host, error) {
	l.mu.Lock()
	h := l.switches
	l.mu.Unlock()
	if h != nil {
		return h, nil
	}
	h, err := l.Host("switches")
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.switches == nil {
		l.switches = h
	}
	return l.switches, nil
}
