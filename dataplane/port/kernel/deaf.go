package kernel

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mark is the socket mark (SO_MARK) of what the router itself sends on a
// device that the kernel was taken off: only marked frames leave it.
const Mark = 0x76726f75 // "vrou"

// Deaf keeps the kernel's own network stack off a device: it neither hears
// what comes in (packet sockets get a frame before the filter drops it) nor
// says anything: no answer to ARP or neighbour solicitations, no router
// solicitation, no MLD report, no duplicate address detection of its own.
//
// The best means is an nf_tables table that belongs to our netlink socket: the
// kernel removes it with the process, however that ends, and nothing else is
// changed on the device. Where the kernel lacks a part of it, Deafen falls
// back:
//
//	ingress and egress filter, owned     Linux 5.16; nothing stays after SIGKILL
//	ingress filter, owned, IPv6 off      Linux 5.12; after SIGKILL IPv6 stays off
//	the same two, not owned              after SIGKILL the table stays too
//	ARP off (IFF_NOARP), IPv6 off        no nf_tables; the kernel still hears IPv4
//
// What stays is found and taken over by the next Deafen for the same device.
type Deaf struct {
	device string
	index  int
	fd     int // nfnetlink socket, or -1
	table  string
	means  string
	ipv6   bool // IPv6 was on
	arp    bool // ARP was on
}

// ErrOwned means that another process already keeps the kernel off the device.
var ErrOwned = errors.New("another process, probably another vrouter, already owns the device")

// attempt is one way to filter.
type attempt struct {
	owned, egress bool
	means         string
}

var attempts = []attempt{
	{true, true, "nf_tables ingress and egress filter"},
	{true, false, "nf_tables ingress filter, IPv6 off"},
	{false, true, "nf_tables ingress and egress filter (a table that stays after SIGKILL)"},
	{false, false, "nf_tables ingress filter (a table that stays after SIGKILL), IPv6 off"},
}

// Deafen takes the kernel off a device, until Close. It acts in the calling
// thread's namespace, so it must be called inside Go or where Here was.
func (n *Net) Deafen(device string, index int) (*Deaf, error) {
	d := &Deaf{device: device, index: index, table: "vrouter-" + device}
	cause := d.filter()
	if cause == nil {
		return d, nil
	}
	if errors.Is(cause, ErrOwned) {
		return nil, fmt.Errorf("device %s: %w", device, ErrOwned)
	}
	if err := n.quieten(d); err != nil {
		err = errors.Join(err, d.Close()) // one half of it may have been done
		return nil, fmt.Errorf("device %s: cannot keep the kernel off it: nf_tables: %w; ARP and IPv6 off: %w", device, cause, err)
	}
	d.means = fmt.Sprintf("ARP off, IPv6 off (no nf_tables: %v)", cause)
	return d, nil
}

// Means says how the kernel is kept off, for logs.
func (d *Deaf) Means() string { return d.means }

// Complete reports whether the kernel hears nothing at all; else it still
// hears IPv4, and would answer for addresses of its own on the device.
func (d *Deaf) Complete() bool { return d.fd >= 0 }

// filter tries the attempts in turn.
func (d *Deaf) filter() (err error) {
	if d.fd, err = nfnetlink(); err != nil {
		d.fd = -1
		return err
	}
	for _, a := range attempts {
		if err = d.try(a); err == nil || errors.Is(err, ErrOwned) || errors.Is(err, unix.EPERM) {
			break
		}
	}
	if err != nil {
		unix.Close(d.fd)
		d.fd = -1
	}
	return err
}

func (d *Deaf) try(a attempt) error {
	stale := newBatch()
	stale.deleteTable(d.table)
	if err := stale.send(d.fd); errors.Is(err, unix.EPERM) && d.isOwned() {
		return ErrOwned
	}
	var flags uint32
	if a.owned {
		flags = tableOwned
	}
	m := newBatch()
	m.table(d.table, flags)
	m.dropAll(d.table, "in", d.device, unix.NF_NETDEV_INGRESS)
	if a.egress {
		m.dropAll(d.table, "out", d.device, unix.NF_NETDEV_EGRESS)
		m.exceptMark(d.table, "out", Mark)
	}
	if err := m.send(d.fd); err != nil {
		return err
	}
	d.means = a.means
	if a.egress {
		return nil
	}
	was, err := DisableIPv6(d.device, true)
	d.ipv6 = !was
	if err != nil {
		d.means += fmt.Sprintf(" (failed: %v)", err)
	}
	return nil
}

// isOwned tells the EPERM of a table that another socket owns from that of a
// missing capability, by making and removing a table in one transaction.
func (d *Deaf) isOwned() bool {
	m := newBatch()
	m.table(d.table+"-probe", 0)
	m.deleteTable(d.table + "-probe")
	return m.send(d.fd) == nil
}

// quieten is the last resort.
func (n *Net) quieten(d *Deaf) error {
	link, err := n.handle.LinkByIndex(d.index)
	if err != nil {
		return err
	}
	was, err := DisableIPv6(d.device, true)
	if err != nil {
		return err
	}
	d.ipv6 = !was
	if link.Attrs().RawFlags&unix.IFF_NOARP != 0 {
		return nil
	}
	if err := n.handle.LinkSetARPOff(byIndex(d.index)); err != nil {
		return err
	}
	d.arp = true
	return nil
}

// Close gives the device back to the kernel as it was.
func (d *Deaf) Close() error {
	var errs []error
	if d.fd >= 0 {
		m := newBatch()
		m.deleteTable(d.table)
		if err := m.send(d.fd); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("delete nf_tables table %s: %w", d.table, err))
		}
		unix.Close(d.fd)
		d.fd = -1
	}
	if d.ipv6 {
		_, err := DisableIPv6(d.device, false)
		errs = append(errs, err)
	}
	if d.arp {
		errs = append(errs, d.restoreARP())
	}
	return errors.Join(errs...)
}

func (d *Deaf) restoreARP() error {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	link, err := handle.LinkByIndex(d.index)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return err
	}
	return handle.LinkSetARPOn(link)
}
