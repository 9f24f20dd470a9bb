package config

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BGP is the table [bgp].
type BGP struct {
	ASN         uint32
	Networks    []netip.Prefix // announced as our own
	Multipath   bool           // equally good paths share the traffic
	RestartTime time.Duration  // how long routes stay without the process or neighbour that they came from
	MemoryLimit int64          // of the BGP process, in bytes; 0: half of the machine's
	API         string         // path of the unix socket of GoBGP's own API; empty: none
	Neighbors   []Neighbor
}

// Neighbor is one [[bgp.neighbor]].
type Neighbor struct {
	Name            string
	Address         netip.Addr // a link-local one has the name of an interface as its zone
	ASN             uint32
	LocalAddress    netip.Addr // zero: the kernel chooses
	Password        string     // TCP MD5 (RFC 2385); empty: none
	TTLSecurity     bool       // RFC 5082
	Multihop        int        // TTL of what is sent; 1: the neighbour is on the link
	Passive         bool       // it connects, we wait
	BFD             *BFDTimers // nil: none
	HoldTime        time.Duration
	GracefulRestart bool     // RFC 4724
	ReflectorClient bool     // RFC 4456; of the own system only
	NextHopSelf     bool     // toward the own system: next hops of others become ours
	AddPath         *AddPath // nil: none
	IPv4, IPv6      bool     // the families
	Import          Importing
	Export          Exporting
	Follow          string // group or virtual router; empty: none
}

// Internal reports whether the neighbour is of the own system (iBGP).
func (n *Neighbor) Internal(asn uint32) bool { return n.ASN == asn }

// BFD is one [[bfd]]: a session with a neighbour on a link of the router.
type BFD struct {
	Name string
	Peer netip.Addr // a link-local one has the name of its interface as zone
	BFDTimers
}

// BFDTimers are the timers of a BFD session (RFC 5880 6.8.1).
type BFDTimers struct {
	Interval   time.Duration // desired minimum TX and required minimum RX
	Multiplier int
}

// AddPath is RFC 7911 with one neighbour.
type AddPath struct {
	Receive bool
	Send    int // paths of each prefix that are announced; 0: only the best one
}

// PrefixRange is an element of a prefix list: the prefixes within Prefix whose
// length is from Min to Max.
type PrefixRange struct {
	Prefix   netip.Prefix
	Min, Max int
}

// Importing is what becomes of routes that a neighbour announces. What no
// element of Prefixes holds is not accepted (RFC 8212).
type Importing struct {
	LocalPreference uint32 // 0: as the neighbour, which is of the own system, says
	Prefixes        []PrefixRange
	MaxPrefixes     uint32   // of each family; 0: any number
	Communities     []string // added; as written
}

// Exporting is what is announced to a neighbour. What no element of Prefixes
// holds is not announced (RFC 8212).
type Exporting struct {
	Prefixes             []PrefixRange
	DefaultOriginate     bool     // announce the default route, whether there is one or not
	Communities          []string // added; as written
	Prepend              int      // how often the own system is prepended to the path beyond the first
	PrependBackup        int      // more, while the virtual router of Follow is not Master
	MEDMaster, MEDBackup uint32   // sent where not zero
}

// bgp checks [bgp]. follow may name a group or a virtual router.
func (c *checker) bgp(r *rawBGP, all *interfaces, t targets) (*BGP, names) {
	taken := names{}
	if !r.Set {
		return nil, taken
	}
	required(c, &r.ASN, "the own autonomous system's number like asn = 65001")
	b := &BGP{
		ASN: c.asn(&r.ASN), Networks: c.prefixes(&r.Networks), Multipath: r.Multipath.Value,
		RestartTime: c.lasting(&r.RestartTime, time.Second, 4095*time.Second), // 12 bits of seconds (RFC 4724 3)
		MemoryLimit: c.memory(&r.MemoryLimit), API: r.API.Value,
	}
	if f := &r.API; f.given() && (!strings.HasPrefix(f.Value, "/") || len(f.Value) > maxSocketPath) {
		c.add(f.Line, `api %q is no path of a unix socket; write one like "/run/vrouter/gobgp.sock"`, f.Value)
	}
	addresses := map[netip.Addr]int{}
	for i := range r.Neighbor {
		n := &r.Neighbor[i]
		b.Neighbors = append(b.Neighbors, c.neighbor(n, b, all, t))
		taken.add(c, &n.Name, "BGP neighbour")
		a := b.Neighbors[i].Address
		if !a.IsValid() {
			continue
		}
		if line, twice := addresses[a]; twice {
			c.add(n.Address.Line, "address %s is the neighbour's on line %d too; one neighbour has one table", a, line)
		} else {
			addresses[a] = n.Address.Line
		}
	}
	return b, taken
}

// asn checks an autonomous system number: 4 bytes (RFC 6793), not zero (RFC
// 7607) and not AS_TRANS.
func (c *checker) asn(f *integer) uint32 {
	c.within(f, 1, math.MaxUint32-1)
	if f.given() && f.Value == 23456 {
		f.Bad = true
		c.add(f.Line, "%s 23456 is reserved (AS_TRANS, RFC 6793); write the system's own number", f.Key)
	}
	return uint32(f.Value)
}

// prefixes checks a list of prefixes: none twice.
func (c *checker) prefixes(f *list) []netip.Prefix {
	var all []netip.Prefix
	for i := range f.Value {
		p, ok := c.prefix(&f.Value[i])
		if ok && slices.Contains(all, p) {
			c.add(f.Value[i].Line, "%s %q is there twice; remove one", f.Key, p)
		}
		if ok {
			all = append(all, p)
		}
	}
	return all
}

// ranges checks a prefix list: each element a prefix, and what lengths within
// it: "10.0.0.0/8", "10.0.0.0/8 le 24", "0.0.0.0/0 ge 8 le 24".
func (c *checker) ranges(f *list) []PrefixRange {
	var all []PrefixRange
	for i := range f.Value {
		e := &f.Value[i]
		r, ok := c.prefixRange(e)
		if ok && slices.Contains(all, r) {
			c.add(e.Line, "%s %q is there twice; remove one", f.Key, e.Value)
		}
		if ok {
			all = append(all, r)
		}
	}
	return all
}

func (c *checker) prefixRange(f *text) (PrefixRange, bool) {
	words := strings.Fields(f.Value)
	if !f.given() || len(words) < 2 {
		p, ok := c.prefix(f)
		return PrefixRange{p, p.Bits(), p.Bits()}, ok
	}
	only := *f
	only.Value = words[0]
	p, ok := c.prefix(&only)
	if !ok {
		f.Bad = true
		return PrefixRange{}, false
	}
	r, longest := PrefixRange{p, p.Bits(), p.Addr().BitLen()}, p.Addr().BitLen()
	for i := 1; i < len(words); i += 2 {
		var n int
		var err error
		if i+1 < len(words) {
			n, err = strconv.Atoi(words[i+1])
		}
		switch {
		case err != nil || i+1 == len(words) || n < p.Bits() || n > longest:
			ok = false
		case words[i] == "ge":
			r.Min = n
		case words[i] == "le":
			r.Max = n
		default:
			ok = false
		}
	}
	if !ok || r.Min > r.Max || len(words) > 5 {
		f.Bad = true
		c.add(f.Line, `%s %q is no element of a prefix list; write a prefix and perhaps which lengths within it (%d to %d): "%s ge %d le %d"`,
			f.Key, f.Value, p.Bits(), longest, p, p.Bits(), longest)
		return PrefixRange{}, false
	}
	return r, true
}

// memory checks an amount of memory: a number with MiB or GiB.
func (c *checker) memory(f *text) int64 {
	if !f.given() {
		return 0
	}
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		number, ok := strings.CutSuffix(f.Value, unit.name)
		if n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32); ok && err == nil && n*unit.bytes >= 64<<20 {
			return n * unit.bytes
		}
	}
	f.Bad = true
	c.add(f.Line, `%s %q is no amount of memory; write at least "64MiB", as "512MiB" or "2GiB"`, f.Key, f.Value)
	return 0
}

// holdTime checks BGP's hold time: at least three seconds, in 16 bits (RFC
// 4271 4.2). Zero, by which nobody would ever be found dead, is not offered.
func (c *checker) holdTime(f *duration) time.Duration {
	d := f.Value
	if f.given() && (d < 3*time.Second || d > math.MaxUint16*time.Second || d%time.Second != 0) {
		f.Bad = true
		c.add(f.Line, `%s %s is out of range; write whole seconds from "3s" to "65535s"`, f.Key, short(d))
	}
	return d
}

// families checks the address families of a neighbour; without the key it is
// the one of its address.
func (c *checker) families(f *list, a netip.Addr) (ipv4, ipv6 bool) {
	if f.given() && len(f.Value) == 0 {
		c.add(f.Line, `families is empty; write families = ["ipv4", "ipv6"], or one of them`)
	}
	if !f.Set {
		return !a.Is6(), a.Is6()
	}
	seen := map[string]bool{}
	for i := range f.Value {
		e := &f.Value[i]
		c.oneOf(e, "ipv4", "ipv6")
		if seen[e.Value] && e.given() {
			c.add(e.Line, "families %q is there twice; remove one", e.Value)
		}
		seen[e.Value] = true
	}
	return seen["ipv4"], seen["ipv6"]
}

// BGPSocket is the path of the socket between the router process and the BGP
// process, made from the control socket's.
func (c *Control) BGPSocket() string { return c.Socket + bgpSuffix }

const bgpSuffix = ".bgp"

// bgpSocket checks that there is room for that path.
func (c *checker) bgpSocket(cfg *Config, raw *rawConfig) {
	if n := len(cfg.Control.BGPSocket()); cfg.BGP != nil && n > maxSocketPath && len(cfg.Control.Socket) <= maxSocketPath {
		c.add(raw.Control.Socket.Line, "socket: with [bgp] a second one is made of this path and %q, and has %d bytes; a unix socket's path has at most %d", bgpSuffix, n, maxSocketPath)
	}
}
