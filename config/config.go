// Package config turns the text of a configuration file into a validated
// Config. It is pure: it opens no file.
package config

import (
	"net/netip"
	"time"

	"vrouter/packet"
	"vrouter/vrrp"
)

// Config is a whole configuration, every value checked and every default
// filled in.
type Config struct {
	Router     Router
	Control    Control
	Log        Log
	Interfaces []Interface
	VRRP       []VRRP
	Checks     []Check
	Notify     []Notify
	Routes     []Route
	BFD        []BFD
	BGP        *BGP    // nil: none
	Import     *Import // nil: nothing is taken over from the host's kernel
}

// Router is the table [router].
type Router struct {
	Name     string     // empty: the host's name, which the caller knows
	RouterID netip.Addr // zero: the highest IPv4 address of an interface
	Engine   Engine
	Watchdog time.Duration // the guardian takes a router process for dead that is silent this long
	Workers  int           // 0: one for each receive queue, at most one per CPU
	BusyPoll time.Duration // how long a worker looks for a next frame before it sleeps; 0: not at all
}

// Engine names the forwarding path.
type Engine string

// The engines.
const (
	EngineFast     Engine = "fast"
	EngineNetstack Engine = "netstack"
)

// Control is the table [control].
type Control struct {
	Socket string         // path of the unix socket
	Listen netip.AddrPort // of the read-only HTTP pages; the zero value: none
}

// Log is the table [log].
type Log struct {
	Level  string // debug | info | warn | error
	Format string // text | json
}

// Attach is how a port gets its frames.
type Attach string

// The kinds of attachment.
const (
	AttachPacket Attach = "af_packet"
	AttachXDP    Attach = "af_xdp"
	AttachTAP    Attach = "tap"
)

// Interface is one [[interface]].
type Interface struct {
	Name      string
	Attach    Attach
	Device    string
	Bridge    string         // tap: the Linux bridge to join; empty: none
	MAC       packet.MAC     // zero: the device's own
	MTU       int            // 0: the device's own
	Queues    int            // at least 1
	Addresses []netip.Prefix // address and prefix length, not masked
	HostAddrs bool           // addresses = "host": Addresses is empty
	HostTAP   bool           // the host's kernel gets the addresses on a TAP (HostTAPDevice): asked for, or for the sake of BGP
	Mirror    bool           // with HostAddrs: the device is as the kernel has it, and what comes to its MAC is forwarded
	RA        *RA            // nil: no router advertisements
}

// RA is [interface.ra]: IPv6 router advertisements (RFC 4861 6.2.1).
type RA struct {
	Interval time.Duration  // the longest between two; 4 s..30 min
	Lifetime time.Duration  // as default router; 0: none
	Prefixes []netip.Prefix // on-link and autonomous
	RDNSS    []netip.Addr   // recursive DNS servers (RFC 8106)
	Managed  bool           // addresses by DHCPv6
	Other    bool           // other configuration by DHCPv6
}

// VRRP is one [[vrrp]]: the virtual router and where it runs.
type VRRP struct {
	vrrp.Config
	Interface  string
	Group      string // virtual routers of one group change state together; empty: alone
	FastDetect bool   // a Backup that is flooded with frames for the virtual MAC asks the master
	Track      []Track
}

// Track is what changes the effective priority of a virtual router while it is
// down. Just one of Interface, Route, BGP, BFD and Check is set.
type Track struct {
	Interface string       // the name of one of Config.Interfaces
	Route     netip.Prefix // a prefix that the routes in use must have
	BGP       string       // a BGP neighbour
	BFD       string       // a BFD session
	Check     string       // the name of one of Config.Checks
	Weight    uint8        // taken off the priority; 0: the virtual router is down
}

// Check is one [[check]]. Just one of Ping, TCP and Exec is set.
type Check struct {
	Name     string
	Ping     netip.Addr // echo requests, sent by the router itself
	TCP      netip.AddrPort
	Exec     []string // program and arguments
	Interval time.Duration
	Timeout  time.Duration // at most Interval
	Fall     int           // failures in a row to go down
	Rise     int           // successes in a row to come up
}

// Notify is one [[notify]]: a program that is run on every state change.
type Notify struct {
	Exec    []string // program and arguments
	Timeout time.Duration
}

// RouteType says what a route does with a packet.
type RouteType string

// The route types.
const (
	RouteUnicast     RouteType = "unicast"
	RouteBlackhole   RouteType = "blackhole"
	RouteUnreachable RouteType = "unreachable"
)

// Route is one static [[route]].
type Route struct {
	To     netip.Prefix // masked
	Type   RouteType
	Via    []NextHop // unicast: at least one
	Metric uint32
}

// NextHop is a neighbouring router and the interface that leads to it: the
// one that the file names ("fe80::1%wan"), else the one that has a prefix
// with the address; without one, the route to the address.
type NextHop struct {
	Address   netip.Addr // without a zone
	Interface string     // the name of one of Config.Interfaces; empty: a route leads to it
}

// Interface returns the interface with a name. It points into the Config.
func (c *Config) Interface(name string) (*Interface, bool) {
	for i := range c.Interfaces {
		if c.Interfaces[i].Name == name {
			return &c.Interfaces[i], true
		}
	}
	return nil, false
}

// Parse turns the text of a configuration file into a Config. The error, if
// any, is an Errors with everything that is wrong in the file; file is its
// name there. After a syntax error only the keys that are there are checked.
//
// Parse has four steps: read (TOML to values with lines), decode (values to
// the raw structs, which list every key with its type and default), refuse
// (keys whose function does not exist yet), and the checks of one table each
// in the file that is named after it.
func Parse(file string, text []byte) (*Config, error) {
	c := &checker{file: file}
	root := c.read(string(text))
	var raw rawConfig
	c.decode(root, &raw, "")
	c.refuse(root)
	cfg := c.config(&raw)
	if errs := c.result(); len(errs) > 0 {
		return nil, errs
	}
	return cfg, nil
}

// config checks all tables, each after those that it refers to.
func (c *checker) config(raw *rawConfig) *Config {
	cfg := &Config{
		Router:  c.router(&raw.Router),
		Control: c.control(&raw.Control),
		Log:     c.log(&raw.Log),
	}
	if len(raw.Interface) == 0 && !raw.Import.Mirror.Value && !c.damaged {
		c.add(1, `there is no [[interface]]; add one: [[interface]] with the lines name = "lan", device = "eth1", addresses = ["192.0.2.2/24"]`)
	}
	cfg.Import = c.importing(&raw.Import)
	all := c.interfaces(raw.Interface)
	all.mirror = raw.Import.Mirror.Value
	cfg.VRRP = c.virtualRouters(raw.VRRP, all)
	c.advertised(raw.Interface, all, cfg.VRRP)
	all.elsewhere = elsewhere(raw)
	cfg.Routes = c.routes(raw.Route, all, cfg.VRRP)

	var checked names
	cfg.Checks, checked = c.checks(raw.Check)
	t := targets{checks: checked, routers: names{}}
	cfg.BFD, t.bfd = c.bfd(raw.BFD, all)
	for i := range raw.VRRP {
		for _, f := range []*text{&raw.VRRP[i].Name, &raw.VRRP[i].Group} {
			if f.given() {
				t.routers[f.Value] = f.Line
			}
		}
	}
	cfg.BGP, t.neighbors = c.bgp(&raw.BGP, all, t)
	c.bgpSocket(cfg, raw)
	c.hostTAPs(cfg, raw, all)
	c.tracks(raw.VRRP, all, t)
	cfg.Notify = c.notify(raw.Notify)
	for _, itf := range all.list {
		itf.Mirror = all.mirror && itf.HostAddrs
		cfg.Interfaces = append(cfg.Interfaces, itf.Interface)
	}
	return cfg
}
