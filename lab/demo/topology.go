package demo

import (
	"fmt"
	"net/netip"

	"vrouter/internal/netlab"
	"vrouter/packet"
	"vrouter/vrrp"
)

// Last parts of the routers' own addresses on both networks.
const (
	numberR1 = 2
	numberR2 = 3
)

// The VRIDs of the routers' configuration.
const vridLAN = 10

// Addresses of the lab that are not in the routers' configuration.
var (
	lanHost4 = netip.MustParseAddr("192.0.2.10")
	lanHost6 = netip.MustParseAddr("2001:db8:1::10")
	target4  = netip.MustParseAddr("198.51.100.1")
	target6  = netip.MustParseAddr("2001:db8:99::1")
)

// gateway is an address by which the LAN host leaves its network.
type gateway struct {
	addr   netip.Addr
	source netip.Addr // the LAN host's address of that family
	mac    packet.MAC // the virtual MAC that must be heard for it
}

var gateways = []gateway{
	{netip.MustParseAddr("192.0.2.1"), lanHost4, vrrp.VirtualMAC(vridLAN, false)},
	{netip.MustParseAddr("fe80::1"), lanHost6, vrrp.VirtualMAC(vridLAN, true)},
}

const picture = `
     host on the LAN  192.0.2.10  2001:db8:1::10
            |
   ---------+----------- br-lan -----------------------
       |                            |
     r1 (priority 200)            r2 (priority 100)      both are the gateway
       |                            |                    192.0.2.1  fe80::1
   ---------+----------- br-wan -----------------------
            |
     upstream  198.51.100.1  2001:db8:99::1

`

// network is the lab: a LAN and a WAN with a host each, and two routers
// between them.
type network struct {
	lab           *netlab.Lab
	lan, upstream *netlab.Host
	lanSwitch     *netlab.Switch
	r1, r2        *member
}

// build makes the network; no router runs yet.
func build(l *netlab.Lab, binary string) (n *network, err error) {
	n = &network{lab: l}
	if n.r1, err = newMember(l, binary, "r1", numberR1, 200); err != nil {
		return nil, err
	}
	if n.r2, err = newMember(l, binary, "r2", numberR2, 100); err != nil {
		return nil, err
	}
	if n.lan, err = l.Host("lan-host"); err != nil {
		return nil, err
	}
	if n.upstream, err = l.Host("upstream"); err != nil {
		return nil, err
	}
	if err = n.connect(); err != nil {
		return nil, err
	}
	return n, n.address()
}

// connect lays the cables.
func (n *network) connect() (err error) {
	if n.lanSwitch, err = n.lab.Switch("br-lan"); err != nil {
		return err
	}
	wan, err := n.lab.Switch("br-wan")
	if err != nil {
		return err
	}
	if _, err = n.lanSwitch.Connect(n.lan, "eth0"); err != nil {
		return err
	}
	if _, err = wan.Connect(n.upstream, "eth0"); err != nil {
		return err
	}
	for _, m := range []*member{n.r1, n.r2} {
		if m.lan, err = n.lanSwitch.Connect(m.Host, "lan"); err != nil {
			return err
		}
		if m.wan, err = wan.Connect(m.Host, "wan"); err != nil {
			return err
		}
	}
	return nil
}

// address configures the two hosts, whose kernels are Linux as it comes.
func (n *network) address() error {
	if err := n.lan.Address("eth0", lanHost4.String()+"/24", lanHost6.String()+"/64"); err != nil {
		return err
	}
	if err := n.upstream.Address("eth0", "203.0.113.10/24", "2001:db8:2::10/64"); err != nil {
		return err
	}
	if err := n.upstream.Address("lo", target4.String()+"/32", target6.String()+"/128"); err != nil {
		return err
	}
	for _, r := range []struct {
		host    *netlab.Host
		to, via string
	}{
		{n.lan, "0.0.0.0/0", "192.0.2.1"},
		{n.lan, "::/0", "fe80::1"},
		{n.upstream, "192.0.2.0/24", "203.0.113.1"},
		{n.upstream, "2001:db8:1::/64", "fe80::1"},
	} {
		if err := r.host.Route(r.to, r.via, "eth0"); err != nil {
			return err
		}
	}
	return nil
}

// checkGateway asks in the LAN who has the gateway's address. It must be
// exactly one router, by the virtual MAC, and the switch must know that MAC to
// be behind that router.
func (n *network) checkGateway(g gateway, master *member) error {
	answers, err := n.lan.Who("eth0", g.source, g.addr, answerTime)
	if err != nil {
		return err
	}
	if len(answers) != 1 {
		return fmt.Errorf("%d routers answer for %s, want one: %v", len(answers), g.addr, answers)
	}
	if answers[0].MAC != g.mac {
		return fmt.Errorf("%s is at %s, want the virtual MAC %s", g.addr, answers[0].MAC, g.mac)
	}
	port, err := n.lanSwitch.Behind(g.mac[:])
	if err != nil {
		return err
	}
	if want := master.Name + ".lan"; port != want {
		return fmt.Errorf("the switch has %s on port %q, want %s", g.mac, port, want)
	}
	return nil
}
