package main

import (
	"errors"
	"fmt"
	"net/netip"

	"vrouter/internal/netlab"
)

// numRouters is how many routers the network has: router 0 has the higher
// priority, and what happens, happens to it.
const numRouters = 2

// Priorities of the two routers, and of router 0 when it is told to step back.
const (
	priorityHigh = 200
	priorityLow  = 100
	priorityBack = 50
)

// Virtual router identifiers.
const (
	vridLAN = 10
	vridWAN = 20
)

// Sides of a router.
const (
	sideLAN = iota
	sideWAN
	numSides
)

var (
	sideNames = [numSides]string{"lan", "wan"} // also the devices' names

	lanHost  = [2]netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8:1::10")}
	observer = [2]netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8:1::11")}
	upstream = [2]netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("2001:db8:2::10")}
	beyond   = [2]netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:99::1")}
	gateway  = [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1")}
)

const picture = `
     LAN host                    observer
     192.0.2.10                  asks who has the gateway's address, 50 times a second
     2001:db8:1::10              |
       |                         |
   ----+------+------------------+----+----   a bridge; the gateway is 192.0.2.1, fe80::1 (VRID 10)
              |                       |
          router 1                router 2
        (priority 200)          (priority 100)
              |                       |
   -----------+-----------+-----------+----   a bridge; the way back is 203.0.113.1, fe80::1 (VRID 20)
                          |
                  upstream 203.0.113.10, 2001:db8:2::10
                  with 198.51.100.1, 2001:db8:99::1
`

// place is where one router is: its host, and its two cables.
type place struct {
	index    int
	name     string
	number   int // last part of its own addresses
	priority int
	dir      string
	host     *netlab.Host
	links    [numSides]*netlab.Link
}

// own returns the router's own addresses on a side, with prefix lengths.
func (p *place) own(side int) []string {
	if side == sideLAN {
		return []string{fmt.Sprintf("192.0.2.%d/24", p.number), fmt.Sprintf("2001:db8:1::%d/64", p.number)}
	}
	return []string{fmt.Sprintf("203.0.113.%d/24", p.number), fmt.Sprintf("2001:db8:2::%d/64", p.number)}
}

// network is the lab of one session: two routers between a LAN and a WAN.
type network struct {
	lab      *netlab.Lab
	switches [numSides]*netlab.Switch
	lan, up  *netlab.Host
	observer *netlab.Host
	uplink   *netlab.Link // of the upstream host
	routers  [numRouters]*place
}

// newNetwork makes the network; no router runs yet.
func newNetwork(l *netlab.Lab) (n *network, err error) {
	n = &network{lab: l}
	for side, name := range sideNames {
		if n.switches[side], err = l.Switch("br-" + name); err != nil {
			return nil, err
		}
	}
	if n.lan, _, err = n.addHost("host", sideLAN, lanHost); err != nil {
		return nil, err
	}
	if n.observer, _, err = n.addHost("observer", sideLAN, observer); err != nil {
		return nil, err
	}
	if n.up, n.uplink, err = n.addHost("upstream", sideWAN, upstream); err != nil {
		return nil, err
	}
	for i, priority := range []int{priorityHigh, priorityLow} {
		if err := n.addRouter(i, priority); err != nil {
			return nil, err
		}
	}
	return n, n.routes()
}

func (n *network) addHost(name string, side int, addresses [2]netip.Addr) (h *netlab.Host, link *netlab.Link, err error) {
	if h, err = n.lab.Host(name); err != nil {
		return nil, nil, err
	}
	if link, err = n.switches[side].Connect(h, "eth0"); err != nil {
		return nil, nil, err
	}
	return h, link, h.Address("eth0", addresses[0].String()+"/24", addresses[1].String()+"/64")
}

func (n *network) addRouter(index, priority int) (err error) {
	p := &place{
		index: index, name: fmt.Sprintf("r%d", index+1), number: index + 2,
		priority: priority, dir: n.lab.Dir,
	}
	if p.host, err = n.lab.Host(p.name); err != nil {
		return err
	}
	for side, s := range n.switches {
		if p.links[side], err = s.Connect(p.host, sideNames[side]); err != nil {
			return err
		}
	}
	n.routers[index] = p
	return nil
}

// routes configures the hosts, whose kernels are Linux as it comes.
func (n *network) routes() error {
	return errors.Join(
		n.up.Address("lo", beyond[0].String()+"/32", beyond[1].String()+"/128"),
		n.lan.Route("0.0.0.0/0", gateway[0].String(), "eth0"),
		n.lan.Route("::/0", gateway[1].String(), "eth0"),
		n.up.Route("192.0.2.0/24", "203.0.113.1", "eth0"),
		n.up.Route("2001:db8:1::/64", "fe80::1", "eth0"),
	)
}

// meterEnds are the two hosts between which the packets run.
func (n *network) meterEnds() (lan, wan endpoint) {
	return endpoint{n.lan, lanHost}, endpoint{n.up, beyond}
}
