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
	Routes     []Route
}

// Router is the table [router].
type Router struct {
	Name     string     // empty: the host's name, which the caller knows
	RouterID netip.Addr // zero: the highest IPv4 address of an interface
	Engine   Engine
	Workers  int // 0: one for each receive queue, at most one per CPU
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
	Socket string // path of the unix socket
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
	HostAddrs bool           // addresses = "host"
}

// VRRP is one [[vrrp]]: the virtual router and where it runs.
type VRRP struct {
	vrrp.Config
	Interface string
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

// NextHop is a neighbouring router. Interface is empty where the address tells
// it (it lies in a connected prefix), set for link-local addresses.
type NextHop struct {
	Address   netip.Addr // without a zone
	Interface string
}

// defaultInterval is the advertisement interval of RFC 9568 6.1.
const defaultInterval = time.Second
