package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host is a network namespace. A thread of its own keeps it, which is also
// the parent of the processes that run there: should this program be killed,
// they get SIGKILL with it.
type Host struct {
	Name string
	TID  int // the keeper thread's id; /proc/TID/ns/net is the namespace

	lab    *Lab
	fd     int
	handle *netlink.Handle
	keeper chan func()
}

// quiet are the settings of a fresh host.
var quiet = map[string]string{
	"net/ipv6/conf/all/accept_dad":        "0",
	"net/ipv6/conf/default/accept_dad":    "0",
	"net/ipv6/conf/default/dad_transmits": "0",
	"net/ipv6/conf/default/accept_ra":     "0",
}

func newHost(l *Lab, name string) (*Host, error) {
	h := &Host{Name: name, lab: l, fd: -1, keeper: make(chan func())}
	ready := make(chan error)
	go h.keep(ready)
	if err := <-ready; err != nil {
		h.close()
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	return h, nil
}

// keep is the keeper thread. It never unlocks, so the thread ends with the
// goroutine instead of carrying the namespace elsewhere.
func (h *Host) keep(ready chan<- error) {
	runtime.LockOSThread()
	ready <- h.enter()
	for f := range h.keeper {
		f()
	}
}

// enter moves the keeper thread into a new namespace and prepares that.
func (h *Host) enter() (err error) {
	h.TID = unix.Gettid()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	h.fd, err = unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", h.TID), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	h.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	for key, value := range quiet {
		if err := writeSysctl(key, value); err != nil {
			return err
		}
	}
	return h.up("lo")
}

func (h *Host) close() {
	close(h.keeper)
	if h.handle != nil {
		h.handle.Close()
	}
	if h.fd >= 0 {
		unix.Close(h.fd)
	}
}

// Do runs f on a thread that is in the host's namespace and ends with f, for
// opening sockets there. Processes are started by Start, not here.
func (h *Host) Do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		if err := unix.Setns(h.fd, unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter host %s: %w", h.Name, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// EnterCommand returns the start of a command line that runs a program on the
// host from outside, for the user who started this program.
func (h *Host) EnterCommand() string {
	if insideUser {
		return fmt.Sprintf("nsenter -t %d -U -n --preserve-credentials", h.TID)
	}
	return fmt.Sprintf("nsenter -t %d -n", h.TID)
}

// inKeeper runs f on the keeper thread.
func (h *Host) inKeeper(f func() error) error {
	result := make(chan error, 1)
	h.keeper <- func() { result <- f() }
	return <-result
}

// Address gives the device addresses, each with its prefix length.
func (h *Host) Address(dev string, cidrs ...string) error {
	link, err := h.link(dev)
	if err != nil {
		return err
	}
	for _, cidr := range cidrs {
		addr, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.handle.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("host %s: address %s on %s: %w", h.Name, cidr, dev, err)
		}
	}
	return nil
}

// Route adds a route to a prefix by way of a router. dev is needed where via is
// link-local, else it may be empty.
func (h *Host) Route(to, via, dev string) error {
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		return err
	}
	route := &netlink.Route{Dst: dst, Gw: net.ParseIP(via)}
	if dev != "" {
		link, err := h.link(dev)
		if err != nil {
			return err
		}
		route.LinkIndex = link.Attrs().Index
	}
	if err := h.handle.RouteReplace(route); err != nil {
		return fmt.Errorf("host %s: route %s via %s: %w", h.Name, to, via, err)
	}
	return nil
}

// Sysctl writes a setting of the host's namespace; key is a path below
// /proc/sys, like "net/ipv4/ip_forward".
func (h *Host) Sysctl(key, value string) error {
	return h.Do(func() error { return writeSysctl(key, value) })
}

func writeSysctl(key, value string) error {
	err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644)
	if os.IsNotExist(err) && strings.HasPrefix(key, "net/ipv6/") {
		return fmt.Errorf("this kernel has no IPv6: %w", err)
	}
	return err
}

// MAC returns a device's own MAC address.
func (h *Host) MAC(dev string) (net.HardwareAddr, error) {
	link, err := h.link(dev)
	if err != nil {
		return nil, err
	}
	return link.Attrs().HardwareAddr, nil
}

// Neighbor returns the MAC that the host's kernel believes an address on the
// device to have, and nil where it knows none.
func (h *Host) Neighbor(dev string, addr netip.Addr) (net.HardwareAddr, error) {
	link, err := h.link(dev)
	if err != nil {
		return nil, err
	}
	family := netlink.FAMILY_V4
	if addr.Is6() {
		family = netlink.FAMILY_V6
	}
	neighbors, err := h.handle.NeighList(link.Attrs().Index, family)
	if err != nil {
		return nil, err
	}
	const useless = netlink.NUD_INCOMPLETE | netlink.NUD_FAILED
	for _, n := range neighbors {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == addr && n.State&useless == 0 {
			return n.HardwareAddr, nil
		}
	}
	return nil, nil
}

// FlushNeighbors makes the host's kernel forget what it learned on the device.
func (h *Host) FlushNeighbors(dev string) error {
	link, err := h.link(dev)
	if err != nil {
		return err
	}
	neighbors, err := h.handle.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for i := range neighbors {
		if neighbors[i].State&netlink.NUD_PERMANENT|neighbors[i].State&netlink.NUD_NOARP == 0 {
			h.handle.NeighDel(&neighbors[i]) // it may be gone by itself
		}
	}
	return nil
}

func (h *Host) link(dev string) (netlink.Link, error) {
	link, err := h.handle.LinkByName(dev)
	if err != nil {
		return nil, fmt.Errorf("host %s: device %s: %w", h.Name, dev, err)
	}
	return link, nil
}

func (h *Host) up(dev string) error {
	link, err := h.link(dev)
	if err != nil {
		return err
	}
	return h.handle.LinkSetUp(link)
}
