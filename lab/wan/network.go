package wan

import (
	"errors"
	"net/netip"

	"vrouter/internal/netlab"
)

const picture = `
        host on the LAN  192.0.2.10  2001:db8:1::10
              |
   -----------+----------- LAN ------------------------
        |                          |
      r1 (AS 65001)              r2 (AS 65001)         both are the gateway
        |                          |                   192.0.2.1  fe80::1
        | BGP, BFD                 | BGP, BFD
        |                          |
      isp1 (AS 64496)            isp2 (AS 64497)
        |                          |
        +------ the Internet ------+                   (AS 64500)
                     |
        remote host  198.51.100.10  2001:db8:99::10

`

// addressPair is an address with its prefix length, as text.
type addressPair string

func (a addressPair) addr() netip.Addr { return netip.MustParsePrefix(string(a)).Addr() }

// Prefix returns the address with its length.
func (a addressPair) Prefix() string { return string(a) }

// String returns the address alone.
func (a addressPair) String() string { return a.addr().String() }

const (
	remote4 addressPair = "198.51.100.10/24"
	remote6 addressPair = "2001:db8:99::10/64"
	lanNet4             = "192.0.2.0/24"
	lanNet6             = "2001:db8:1::/64"

	ourAS, isp1AS, isp2AS, netAS = 65001, 64496, 64497, 64500 // RFC 6996, RFC 5398
)

// side is one end of a link: device, and address of each family.
type side struct {
	Dev    string
	V4, V6 addressPair
	own    bool // the addresses are of the router's configuration, the kernel has none
}

func (s side) addresses() []string { return []string{string(s.V4), string(s.V6)} }

// The ends of the links between networks.
var (
	r1WAN    = side{"wan", "203.0.113.2/29", "2001:db8:a1::2/64", true}
	isp1Cust = side{"cust", "203.0.113.1/29", "2001:db8:a1::1/64", false}
	r2WAN    = side{"wan", "203.0.113.10/29", "2001:db8:a2::2/64", true}
	isp2Cust = side{"cust", "203.0.113.9/29", "2001:db8:a2::1/64", false}
	isp1Up   = side{"up", "203.0.113.17/29", "2001:db8:b1::1/64", false}
	netISP1  = side{"isp1", "203.0.113.18/29", "2001:db8:b1::2/64", false}
	isp2Up   = side{"up", "203.0.113.25/29", "2001:db8:b2::1/64", false}
	netISP2  = side{"isp2", "203.0.113.26/29", "2001:db8:b2::2/64", false}
	r1LAN    = side{"lan", "192.0.2.2/24", "2001:db8:1::2/64", true}
	r2LAN    = side{"lan", "192.0.2.3/24", "2001:db8:1::3/64", true}
	lanSide  = side{"eth0", "192.0.2.10/24", "2001:db8:1::10/64", false}
	netSide  = side{"hosts", "198.51.100.1/24", "2001:db8:99::1/64", false}
	farSide  = side{"eth0", remote4, remote6, false}
)

// network is all hosts and what joins them.
type network struct {
	lab              *netlab.Lab
	lan, remote      *netlab.Host
	r1, r2           *gateway
	isp1, isp2, net  *provider
	link1, upstream1 cable
}

// cable joins two hosts; both ends see when it is cut.
type cable []*netlab.Link

func (c cable) cut() error  { return errors.Join(c[0].Cut(), c[1].Cut()) }
func (c cable) plug() error { return errors.Join(c[0].Plug(), c[1].Plug()) }

// join lays a cable between two hosts, with addresses.
func (n *network) join(name string, a *netlab.Host, sa side, b *netlab.Host, sb side) (cable, error) {
	sw, err := n.lab.Switch(name)
	if err != nil {
		return nil, err
	}
	var c cable
	for _, end := range []struct {
		h *netlab.Host
		s side
	}{{a, sa}, {b, sb}} {
		link, err := attach(sw, end.h, end.s)
		if err != nil {
			return nil, err
		}
		c = append(c, link)
	}
	return c, nil
}

// attach joins a host to a switch, with addresses where the kernel has them.
func attach(sw *netlab.Switch, h *netlab.Host, s side) (*netlab.Link, error) {
	link, err := sw.Connect(h, s.Dev)
	if err != nil || s.own {
		return link, err
	}
	return link, h.Address(s.Dev, s.addresses()...)
}

// build makes the network; nothing runs yet.
func build(l *netlab.Lab, o Options) (n *network, err error) {
	n = &network{lab: l}
	hosts := map[string]*netlab.Host{}
	for _, name := range []string{"lan-host", "r1", "r2", "isp1", "isp2", "net", "remote"} {
		if hosts[name], err = l.Host(name); err != nil {
			return nil, err
		}
	}
	n.lan, n.remote = hosts["lan-host"], hosts["remote"]
	if err := n.connect(hosts); err != nil {
		return nil, err
	}
	if err := n.routes(); err != nil {
		return nil, err
	}
	if n.r1, err = newGateway(l, o.Binary, hosts["r1"], gatewayPlan{
		Name: "r1", Priority: priority1, LAN: r1LAN, Peer: r2LAN, WAN: r1WAN, ISP: isp1Cust, ISPAS: isp1AS,
	}); err != nil {
		return nil, err
	}
	if n.r2, err = newGateway(l, o.Binary, hosts["r2"], gatewayPlan{
		Name: "r2", Priority: priority2, LAN: r2LAN, Peer: r1LAN, WAN: r2WAN, ISP: isp2Cust, ISPAS: isp2AS,
	}); err != nil {
		return nil, err
	}
	return n, n.providers(hosts, o)
}

// connect lays the cables.
func (n *network) connect(hosts map[string]*netlab.Host) (err error) {
	lan, err := n.lab.Switch("br-lan")
	if err != nil {
		return err
	}
	for _, end := range []struct {
		host string
		s    side
	}{{"lan-host", lanSide}, {"r1", r1LAN}, {"r2", r2LAN}} {
		if _, err := attach(lan, hosts[end.host], end.s); err != nil {
			return err
		}
	}
	if n.link1, err = n.join("br-r1-isp1", hosts["r1"], r1WAN, hosts["isp1"], isp1Cust); err != nil {
		return err
	}
	if n.upstream1, err = n.join("br-isp1-net", hosts["isp1"], isp1Up, hosts["net"], netISP1); err != nil {
		return err
	}
	if _, err = n.join("br-r2-isp2", hosts["r2"], r2WAN, hosts["isp2"], isp2Cust); err != nil {
		return err
	}
	if _, err = n.join("br-isp2-net", hosts["isp2"], isp2Up, hosts["net"], netISP2); err != nil {
		return err
	}
	_, err = n.join("br-remote", hosts["net"], netSide, hosts["remote"], farSide)
	return err
}

// routes tells the two hosts who their router is; all others learn by BGP.
func (n *network) routes() error {
	return errors.Join(
		n.lan.Route("0.0.0.0/0", "192.0.2.1", "eth0"), n.lan.Route("::/0", "fe80::1", "eth0"),
		n.remote.Route("0.0.0.0/0", netSide.V4.String(), "eth0"), n.remote.Route("::/0", netSide.V6.String(), "eth0"),
	)
}

// logs returns the last words of all.
func (n *network) logs() (text string) {
	for _, g := range []*gateway{n.r1, n.r2} {
		text += lastWords(g.Name, g.Process)
	}
	for _, p := range []*provider{n.isp1, n.isp2, n.net} {
		for _, process := range p.processes {
			text += lastWords(p.plan.Name, process)
		}
	}
	return text
}
