// Package kernel is what the ports on Linux devices have in common: looking
// after a device over netlink, and keeping the kernel's own network stack off
// a device that the router owns.
package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// Net is a network namespace: that of the thread which called Here. All its
// methods act there, from whatever thread they are called.
type Net struct {
	handle *netlink.Handle
	ns     int // descriptor of the namespace, or -1: that of the whole process
}

// whole is the namespace of the process as it started, where goroutines run
// that nobody moved. It is noted at once, since any thread, the first one too,
// may be moved later.
var whole = threadNS()

func threadNS() (s unix.Stat_t) {
	unix.Stat("/proc/thread-self/ns/net", &s) // zero without /proc; Here reports that
	return s
}

// Here returns the network namespace of the calling thread.
func Here() (*Net, error) {
	n := &Net{ns: -1}
	mine := threadNS()
	if mine.Ino == 0 {
		return nil, errors.New("this thread's network namespace is unknown: is /proc mounted?")
	}
	var err error
	if mine.Ino != whole.Ino || mine.Dev != whole.Dev {
		n.ns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("this thread's network namespace: %w", err)
		}
	}
	if n.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		n.closeNS()
		return nil, fmt.Errorf("route netlink: %w", err)
	}
	return n, nil
}

// Go runs f in a goroutine whose system calls act in the namespace. Where f
// cannot be brought there, failed is called instead.
func (n *Net) Go(f func(), failed func(error)) {
	go func() {
		if n.ns >= 0 {
			// Never unlocked: the thread ends with the goroutine instead of
			// carrying the namespace elsewhere.
			runtime.LockOSThread()
			if err := unix.Setns(n.ns, unix.CLONE_NEWNET); err != nil {
				failed(fmt.Errorf("enter network namespace: %w", err))
				return
			}
		}
		f()
	}()
}

// Do runs f where its system calls act in the namespace, and returns its error.
func (n *Net) Do(f func() error) error {
	if n.ns < 0 {
		return f()
	}
	done := make(chan error, 1)
	n.Go(func() { done <- f() }, func(err error) { done <- err })
	return <-done
}

// Close releases the namespace. Goroutines started by Go stay in it.
func (n *Net) Close() {
	n.handle.Close()
	n.closeNS()
}

func (n *Net) closeNS() {
	if n.ns >= 0 {
		unix.Close(n.ns)
		n.ns = -1
	}
}

// Link is a device as the kernel sees it.
type Link struct {
	Index    int
	MAC      packet.MAC
	MTU      int
	Admin    bool // administratively up
	Carrier  bool // has its carrier; false also while not administratively up
	Master   int  // index of the bridge that it is in, or 0
	RXQueues int  // receive queues that it was made with, in use or not
	Queues   int  // of a TAP: how many are open, 0 where nobody holds it
	Lost     int  // frames that the device dropped instead of sending, since it was made
}

// Link returns the device of a name; found is false where there is none.
func (n *Net) Link(name string) (link Link, found bool, err error) {
	l, err := n.handle.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) || errors.Is(err, unix.ENODEV) {
		return Link{}, false, nil
	}
	if err != nil {
		return Link{}, false, fmt.Errorf("device %s: %w", name, err)
	}
	a := l.Attrs()
	if a.Name != name { // found by an alternative name
		return Link{}, false, fmt.Errorf("device %s: that is an alternative name of %s; use the latter", name, a.Name)
	}
	if len(a.HardwareAddr) != 6 {
		return Link{}, false, fmt.Errorf("device %s is no Ethernet device (%s, link type %s)", name, l.Type(), a.EncapType)
	}
	queues := 0
	if tap, ok := l.(*netlink.Tuntap); ok {
		queues = tap.Queues
	}
	lost := 0
	if a.Statistics != nil {
		lost = int(a.Statistics.TxDropped)
	}
	return Link{
		RXQueues: a.NumRxQueues,
		Queues:   queues,
		Lost:     lost,
		Index:    a.Index,
		MAC:      packet.MAC(a.HardwareAddr),
		MTU:      a.MTU,
		Admin:    a.RawFlags&unix.IFF_UP != 0,
		Carrier:  a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOWER_UP != 0,
		Master:   a.MasterIndex,
	}, true, nil
}

// SetAdmin sets a device administratively up or down.
func (n *Net) SetAdmin(index int, up bool) error {
	if up {
		return n.handle.LinkSetUp(byIndex(index))
	}
	return n.handle.LinkSetDown(byIndex(index))
}

// SetMTU sets a device's MTU, in bytes without the Ethernet header.
func (n *Net) SetMTU(index, mtu int) error { return n.handle.LinkSetMTU(byIndex(index), mtu) }

// Queueless reports whether a device has no queueing discipline, so that a frame
// is at the device as soon as it is sent (veth, bridges).
func (n *Net) Queueless(index int) bool {
	list, err := n.handle.QdiscList(byIndex(index))
	return err == nil && len(list) == 1 && list[0].Type() == "noqueue"
}

// SetMAC sets a device's own address.
func (n *Net) SetMAC(index int, mac packet.MAC) error {
	return n.handle.LinkSetHardwareAddr(byIndex(index), net.HardwareAddr(mac[:]))
}

// SetMaster puts a device into a bridge.
func (n *Net) SetMaster(index, bridge int) error {
	return n.handle.LinkSetMasterByIndex(byIndex(index), bridge)
}

// Addresses returns the addresses that the kernel has on a device, without
// IPv6 link-local ones.
func (n *Net) Addresses(index int) ([]netip.Prefix, error) {
	addrs, err := n.handle.AddrList(byIndex(index), netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	var prefixes []netip.Prefix
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok || ip.Is6() && ip.IsLinkLocalUnicast() {
			continue
		}
		ones, _ := a.Mask.Size()
		prefixes = append(prefixes, netip.PrefixFrom(ip.Unmap(), ones))
	}
	return prefixes, nil
}

// DisableIPv6 switches the kernel's IPv6 off or on for a device, and returns
// whether it was off before. It acts in the calling thread's namespace, so it
// must be called where Here was, or inside Go. A kernel without IPv6 counts as
// switched off.
func DisableIPv6(name string, off bool) (was bool, err error) {
	path := "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"
	old, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	was = old[0] == '1'
	if was == off {
		return was, nil
	}
	value := []byte("0")
	if off {
		value = []byte("1")
	}
	return was, os.WriteFile(path, value, 0o644)
}

// byIndex makes what the netlink package wants of an index.
func byIndex(index int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
}
