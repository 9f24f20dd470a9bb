package netlab

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Switch is a learning Ethernet switch: a Linux bridge without spanning tree
// and without multicast snooping.
type Switch struct {
	Name string

	host   *Host
	bridge netlink.Link
}

// Switch adds a switch.
func (l *Lab) Switch(name string) (*Switch, error) {
	host, err := l.switchHost()
	if err != nil {
		return nil, err
	}
	noSnooping := false
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &noSnooping}
	bridge.Name = name
	if err := host.handle.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("switch %s: %w", name, err)
	}
	if err := host.up(name); err != nil {
		return nil, err
	}
	link, err := host.link(name)
	if err != nil {
		return nil, err
	}
	return &Switch{Name: name, host: host, bridge: link}, nil
}

// Link is the cable between a host's device and a switch: a veth pair.
type Link struct {
	Host   *Host
	Device string // the host's end

	port string // the switch's end
	sw   *Switch
}

// Connect lays a cable: the host gets a device named dev, up, with a MAC
// address that depends on nothing but the two names.
func (s *Switch) Connect(h *Host, dev string) (*Link, error) {
	port := h.Name + "." + dev
	if len(port) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("names of host and device too long together: %s", port)
	}
	veth := &netlink.Veth{
		LinkAttrs:        netlink.NewLinkAttrs(),
		PeerName:         dev,
		PeerHardwareAddr: stableMAC(port),
		PeerNamespace:    netlink.NsFd(h.fd),
	}
	veth.Name = port
	veth.MasterIndex = s.bridge.Attrs().Index
	if err := s.host.handle.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("connect %s to switch %s: %w", port, s.Name, err)
	}
	if err := s.host.up(port); err != nil {
		return nil, err
	}
	if err := h.up(dev); err != nil {
		return nil, err
	}
	return &Link{Host: h, Device: dev, port: port, sw: s}, nil
}

// stableMAC makes a locally administered unicast address of a name.
func stableMAC(name string) net.HardwareAddr {
	sum := sha256.Sum256([]byte(name))
	return net.HardwareAddr{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// Cut pulls the cable: both ends lose carrier.
func (l *Link) Cut() error {
	link, err := l.sw.host.link(l.port)
	if err != nil {
		return err
	}
	return l.sw.host.handle.LinkSetDown(link)
}

// Plug puts the cable back.
func (l *Link) Plug() error { return l.sw.host.up(l.port) }

// Behind returns the link on which the switch has last seen frames from a MAC
// as "HOST.DEVICE", or "" where it has not.
func (s *Switch) Behind(mac net.HardwareAddr) (string, error) {
	entries, err := s.host.handle.NeighList(0, unix.AF_BRIDGE)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.MasterIndex == s.bridge.Attrs().Index && e.HardwareAddr.String() == mac.String() {
			link, err := s.host.handle.LinkByIndex(e.LinkIndex)
			if err != nil {
				return "", err
			}
			return link.Attrs().Name, nil
		}
	}
	return "", nil
}

// Macvlan adds a device that shares a device of the host under another MAC
// address (mode bridge, as FRR's VRRP wants it), up.
func (h *Host) Macvlan(parent, name string, mac net.HardwareAddr) error {
	link, err := h.link(parent)
	if err != nil {
		return err
	}
	macvlan := &netlink.Macvlan{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.MACVLAN_MODE_BRIDGE}
	macvlan.Name, macvlan.ParentIndex, macvlan.HardwareAddr = name, link.Attrs().Index, mac
	if err := h.handle.LinkAdd(macvlan); err != nil {
		return fmt.Errorf("host %s: macvlan %s: %w", h.Name, name, err)
	}
	return h.up(name)
}

// Delete deletes a device of the host.
func (h *Host) Delete(dev string) error {
	link, err := h.link(dev)
	if err != nil {
		return err
	}
	return h.handle.LinkDel(link)
}

// Bridge adds a Linux bridge to the host, up, with devices of the host as its
// ports.
func (h *Host) Bridge(name string, devices ...string) error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = name
	if err := h.handle.LinkAdd(bridge); err != nil {
		return fmt.Errorf("host %s: bridge %s: %w", h.Name, name, err)
	}
	for _, dev := range devices {
		link, err := h.link(dev)
		if err != nil {
			return err
		}
		if err := h.handle.LinkSetMaster(link, bridge); err != nil {
			return fmt.Errorf("host %s: %s into bridge %s: %w", h.Name, dev, name, err)
		}
	}
	return h.up(name)
}

// Snoop makes the switch look into IGMP and MLD, as bought ones do: a group goes
// only to the ports that have reported it. It is the querier as well, of the
// given versions, every two seconds, and forgets after six.
func (s *Switch) Snoop(ctx context.Context, igmpVersion, mldVersion int) error {
	_, err := s.host.Run(ctx, "ip", "link", "set", s.Name, "type", "bridge",
		"mcast_snooping", "1", "mcast_querier", "1",
		"mcast_igmp_version", strconv.Itoa(igmpVersion), "mcast_mld_version", strconv.Itoa(mldVersion),
		"mcast_query_interval", "200", "mcast_startup_query_interval", "100", // hundredths of a second
		"mcast_query_response_interval", "50", "mcast_membership_interval", "1000")
	return err
}

// Members returns the multicast groups that a snooping switch knows, with their
// ports, as "bridge mdb show" prints them.
func (s *Switch) Members(ctx context.Context) (string, error) {
	return s.host.Run(ctx, "bridge", "mdb", "show", "dev", s.Name)
}
