package netlab

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Cable joins two hosts by a veth pair without a switch. Each end gets a
// device, up, with a MAC address that depends on nothing but the names of the
// host and the device.
func (l *Lab) Cable(a *Host, devA string, b *Host, devB string) error {
	veth := &netlink.Veth{
		LinkAttrs:        netlink.NewLinkAttrs(),
		PeerName:         devB,
		PeerHardwareAddr: stableMAC(b.Name + "." + devB),
		PeerNamespace:    netlink.NsFd(b.fd),
	}
	veth.Name, veth.HardwareAddr = devA, stableMAC(a.Name+"."+devA)
	if err := a.handle.LinkAdd(veth); err != nil {
		return fmt.Errorf("cable from %s of host %s to %s of host %s: %w", devA, a.Name, devB, b.Name, err)
	}
	if err := a.up(devA); err != nil {
		return err
	}
	return b.up(devB)
}

// Received returns how many frames have come in on a device, as its driver
// counts them.
func (h *Host) Received(dev string) (uint64, error) {
	link, err := h.link(dev)
	if err != nil {
		return 0, err
	}
	s := link.Attrs().Statistics
	if s == nil {
		return 0, fmt.Errorf("host %s: device %s has no counters", h.Name, dev)
	}
	return s.RxPackets, nil
}

// Blackhole makes the host drop without a word what is for a prefix.
func (h *Host) Blackhole(to string) error {
	dst, err := netlink.ParseIPNet(to)
	if err != nil {
		return err
	}
	if err := h.handle.RouteReplace(&netlink.Route{Dst: dst, Type: unix.RTN_BLACKHOLE}); err != nil {
		return fmt.Errorf("host %s: blackhole %s: %w", h.Name, to, err)
	}
	return nil
}
