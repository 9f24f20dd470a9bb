package main

import (
	"net/netip"
	"runtime"
	"slices"
	"time"

	"vrouter/bench/prefixes"
	"vrouter/dataplane/fib"
	"vrouter/packet"
	"vrouter/rib"
)

// The router's ports.
const (
	lan = iota
	wan
	backup
	numPorts
)

// hops is how many next hops the prefixes have, in turn.
const hops = 8

var (
	own = [numPorts][2]netip.Prefix{
		lan:    {netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8:1::2/64")},
		wan:    {netip.MustParsePrefix("203.0.113.2/24"), netip.MustParsePrefix("2001:db8:2::2/64")},
		backup: {netip.MustParsePrefix("198.51.100.2/24"), netip.MustParsePrefix("2001:db8:3::2/64")},
	}
	defaults = [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
)

// family is the index of a prefix' family in what comes by two.
func family(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}

// neighbor returns the i-th next hop of a family on a port.
func neighbor(port, family, i int) netip.Addr {
	a := own[port][family].Addr()
	for range 1 + i%hops {
		a = a.Next()
	}
	return a
}

// newTable returns a table whose ports are up and whose neighbours are resolved;
// both families have a default route by the port given.
func newTable(defaultPort int) *rib.Table {
	t := rib.New()
	for port := range numPorts {
		t.SetPort(uint16(port), true)
		for f := range own[port] {
			t.AddAddress(uint16(port), own[port][f], false)
			for i := range hops {
				t.SetNeighbor(uint16(port), neighbor(port, f, i), packet.MAC{2, 0, 0, byte(f), byte(port), byte(i)}, true)
			}
		}
	}
	for f, p := range defaults {
		t.Add(rib.Route{Prefix: p, Source: rib.Static, Via: []rib.Via{{Addr: neighbor(defaultPort, f, 0)}}})
	}
	return t
}

// internet returns the routes of a table like the Internet's, by eight next hops
// on the WAN.
func (o *options) internet() []rib.Route {
	var routes []rib.Route
	for i, p := range slices.Concat(prefixes.IPv4(1, o.four), prefixes.IPv6(1, o.six)) {
		routes = append(routes, rib.Route{Prefix: p, Source: rib.BGP, Via: []rib.Via{{Addr: neighbor(wan, family(p), i)}}})
	}
	return routes
}

func loadTable(t *rib.Table, routes []rib.Route) *fib.Snapshot {
	for i := range routes {
		t.Add(routes[i])
	}
	return publish(t)
}

func publish(t *rib.Table) *fib.Snapshot {
	s := &fib.Snapshot{Ports: make([]fib.Port, numPorts)}
	t.Publish(s)
	return s
}

// load measures loading and memory.
func (r *report) load() {
	routes := r.internet()
	for range 5 {
		before := heap()
		began := time.Now()
		t := newTable(backup)
		s := loadTable(t, routes)
		r.loading = append(r.loading, time.Since(began))
		r.memory = heap() - before
		runtime.KeepAlive(t)
		runtime.KeepAlive(s)
	}
}

// heap returns the live heap in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// changes measures what changes cost the control plane: a lost next hop of all
// prefixes, and other routes, one by one and in batches.
func (r *report) changes() {
	routes := r.internet()
	t := newTable(backup)
	loadTable(t, routes)
	for i := range 200 {
		began := time.Now()
		t.SetPort(wan, i%2 == 1)
		publish(t)
		r.rerouting = append(r.rerouting, time.Since(began))
	}
	c := changer{table: t, prefixes: compact(routes)}
	for range 20 {
		r.single = append(r.single, c.take(1, 50)/50)
		r.batched = append(r.batched, c.take(256, 2)/512)
	}
}

// changer gives routes other next hops, one after the other.
type changer struct {
	table    *rib.Table
	prefixes []compactPrefix
	changed  int
}

// compactPrefix is a prefix without pointers: a million of others would keep the
// garbage collector busy with what belongs to the measurement alone.
type compactPrefix struct {
	addr [16]byte
	bits uint8
	six  bool
}

func compact(routes []rib.Route) []compactPrefix {
	list := make([]compactPrefix, len(routes))
	for i := range routes {
		p := routes[i].Prefix
		list[i] = compactPrefix{p.Addr().As16(), uint8(p.Bits()), p.Addr().Is6()}
	}
	return list
}

func (p *compactPrefix) prefix() netip.Prefix {
	a := netip.AddrFrom16(p.addr)
	if !p.six {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, int(p.bits))
}

// take changes and publishes so many batches of n routes, and returns how long
// that took.
func (c *changer) take(n, batches int) time.Duration {
	began := time.Now()
	for range batches {
		c.change(n)
		publish(c.table)
	}
	return time.Since(began)
}

// change gives the next n routes another next hop.
func (c *changer) change(n int) {
	for range n {
		p := c.prefixes[c.changed%len(c.prefixes)].prefix()
		c.changed++
		via := neighbor(wan, family(p), c.changed+c.changed/len(c.prefixes)+1)
		c.table.Add(rib.Route{Prefix: p, Source: rib.BGP, Via: []rib.Via{{Addr: via}}})
	}
}
