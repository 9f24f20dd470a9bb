package nstest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// Veth makes a veth pair, both ends up, one in each namespace.
func Veth(t testing.TB, a *NS, devA string, b *NS, devB string) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: devB, PeerNamespace: netlink.NsFd(b.fd)}
	veth.Name = devA
	if err := a.handle.LinkAdd(veth); err != nil {
		t.Fatalf("veth %s - %s: %v", devA, devB, err)
	}
	a.Up(t, devA)
	b.Up(t, devB)
}

// Bridge makes a Linux bridge, up, without multicast snooping.
func (ns *NS) Bridge(t testing.TB, name string) {
	t.Helper()
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &snooping}
	bridge.Name = name
	if err := ns.handle.LinkAdd(bridge); err != nil {
		t.Fatalf("bridge %s: %v", name, err)
	}
	ns.Up(t, name)
}

// Link returns a device as it is now.
func (ns *NS) Link(t testing.TB, dev string) netlink.Link {
	t.Helper()
	link, err := ns.handle.LinkByName(dev)
	if err != nil {
		t.Fatalf("device %s: %v", dev, err)
	}
	return link
}

// Has reports whether the device exists.
func (ns *NS) Has(dev string) bool {
	_, err := ns.handle.LinkByName(dev)
	return err == nil
}

// MAC returns a device's address.
func (ns *NS) MAC(t testing.TB, dev string) packet.MAC {
	t.Helper()
	return packet.MAC(ns.Link(t, dev).Attrs().HardwareAddr)
}

// Up sets a device up.
func (ns *NS) Up(t testing.TB, dev string) {
	t.Helper()
	ns.must(t, "up", dev, ns.handle.LinkSetUp(ns.Link(t, dev)))
}

// Down sets a device down; the other end of a veth pair loses its carrier.
func (ns *NS) Down(t testing.TB, dev string) {
	t.Helper()
	ns.must(t, "down", dev, ns.handle.LinkSetDown(ns.Link(t, dev)))
}

// MTU sets a device's MTU.
func (ns *NS) MTU(t testing.TB, dev string, mtu int) {
	t.Helper()
	ns.must(t, "mtu", dev, ns.handle.LinkSetMTU(ns.Link(t, dev), mtu))
}

// Delete deletes a device, and so the other end of a veth pair.
func (ns *NS) Delete(t testing.TB, dev string) {
	t.Helper()
	ns.must(t, "delete", dev, ns.handle.LinkDel(ns.Link(t, dev)))
}

// Enslave puts a device into a bridge.
func (ns *NS) Enslave(t testing.TB, dev, bridge string) {
	t.Helper()
	ns.must(t, "enslave", dev, ns.handle.LinkSetMaster(ns.Link(t, dev), ns.Link(t, bridge)))
}

// Addr gives a device addresses, each with its prefix length.
func (ns *NS) Addr(t testing.TB, dev string, cidrs ...string) {
	t.Helper()
	for _, cidr := range cidrs {
		addr, err := netlink.ParseAddr(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		ns.must(t, "address "+cidr, dev, ns.handle.AddrReplace(ns.Link(t, dev), addr))
	}
}

// Route adds a route to a prefix by way of a router.
func (ns *NS) Route(t testing.TB, to, via string) {
	t.Helper()
	dst, err := netlink.ParseIPNet(to)
	if err != nil {
		t.Fatal(err)
	}
	gw, err := netlink.ParseAddr(via + "/128")
	if err != nil {
		gw, err = netlink.ParseAddr(via + "/32")
	}
	if err != nil {
		t.Fatal(err)
	}
	ns.must(t, "route "+to, "via "+via, ns.handle.RouteReplace(&netlink.Route{Dst: dst, Gw: gw.IP}))
}

// Sysctl writes a setting; key is a path below /proc/sys.
func (ns *NS) Sysctl(t testing.TB, key, value string) {
	t.Helper()
	err := ns.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644) })
	ns.must(t, "sysctl", key, err)
}

func (ns *NS) must(t testing.TB, what, dev string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s %s: %v", dev, what, err)
	}
}

// Offload switches all segmentation and checksum offloads that a device has
// for sending on or off (ethtool -K DEV tx on|off).
func (ns *NS) Offload(t testing.TB, dev string, on bool) {
	t.Helper()
	ns.must(t, "offload", dev, ns.Do(func() error { return setTransmitChecksum(dev, on) }))
}
