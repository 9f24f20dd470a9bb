package config

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"vrouter/vrrp"
)

// maxPassword is the length of a password of RFC 2338 10.2, in bytes.
const maxPassword = 8

// auth checks the authentication of version 2 (RFC 2338 10).
func (c *checker) auth(r *rawVRRP) vrrp.Auth {
	auth := &r.Auth
	kind := c.oneOf(&auth.Type, "none", "password", "ah")
	switch {
	case !auth.Set || auth.Type.Bad:
	case kind == "none":
		if auth.Key.Set {
			c.add(auth.Key.Line, `auth has a key and type "none"; remove the key, or write type = "password"`)
		}
	case r.Version.Value == 3:
		c.add(auth.Line, `auth is of version 2 alone (RFC 2338); remove it or write version = 2`)
	case !auth.Key.Set:
		c.missing(at{"key", auth.Line}, `key = "..." to auth`)
	case auth.Key.Bad:
	case auth.Key.Value == "":
		c.add(auth.Key.Line, "key is empty; write the secret that all routers of the virtual router share")
	case kind == "password" && len(auth.Key.Value) > maxPassword:
		c.add(auth.Key.Line, "key has %d bytes; a password has at most %d (RFC 2338 10.2)", len(auth.Key.Value), maxPassword)
	}
	types := map[string]vrrp.AuthType{"password": vrrp.AuthPassword, "ah": vrrp.AuthAH}
	return vrrp.Auth{Type: types[kind], Key: auth.Key.Value}
}

// targets are the names that a track or follow can refer to.
type targets struct {
	checks, bfd, neighbors names
	routers                names // virtual routers and their groups
}

// checks checks every [[check]].
func (c *checker) checks(raw []rawCheck) ([]Check, names) {
	taken := names{}
	var list []Check
	for i := range raw {
		r := &raw[i]
		required(c, &r.Name, `a name like name = "dns"`)
		check := Check{Name: c.name(&r.Name), TCP: c.hostPort(&r.TCP), Exec: c.program(&r.Exec)}
		taken.add(c, &r.Name, "check")
		if r.Ping.Set {
			check.Ping, _ = c.address(&r.Ping)
		}
		switch given := count(r.Ping.Set, r.TCP.Set, r.Exec.Set); {
		case given == 0:
			c.missing(at{"what to check", r.Line}, `one of ping = "ADDRESS", tcp = "ADDRESS:PORT", exec = ["PROGRAM"]`)
		case given > 1:
			c.add(r.Line, "the check has %d of ping, tcp and exec; write one of them, and one [[check]] for each other", given)
		}
		check.Interval = c.lasting(&r.Interval, 10*time.Millisecond, time.Hour)
		check.Timeout = c.lasting(&r.Timeout, time.Millisecond, max(check.Interval, time.Millisecond))
		check.Fall = int(c.within(&r.Fall, 1, 255))
		check.Rise = int(c.within(&r.Rise, 1, 255))
		list = append(list, check)
	}
	return list, taken
}

// hostPort checks an address with a TCP port.
func (c *checker) hostPort(f *text) netip.AddrPort {
	if !f.given() {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddrPort(f.Value)
	if err != nil || a.Port() == 0 {
		c.add(f.Line, `%s %q is no address and port; write them like "203.0.113.1:53"`, f.Key, f.Value)
	}
	return a
}

func count(facts ...bool) (n int) {
	for _, f := range facts {
		if f {
			n++
		}
	}
	return n
}

// program checks a program with its arguments.
func (c *checker) program(f *list) []string {
	if f.given() && (len(f.Value) == 0 || f.Value[0].Value == "" && !f.Value[0].Bad) {
		c.add(f.Line, `%s names no program; write it like %s = ["/usr/local/bin/program", "argument"]`, f.Key, f.Key)
	}
	var words []string
	for i := range f.Value {
		words = append(words, f.Value[i].Value)
	}
	return words
}

// notify checks every [[notify]].
func (c *checker) notify(raw []rawNotify) []Notify {
	var list []Notify
	for i := range raw {
		r := &raw[i]
		required(c, &r.Exec, `a program like exec = ["/usr/local/bin/on-vrrp"]`)
		list = append(list, Notify{c.program(&r.Exec), c.lasting(&r.Timeout, 10*time.Millisecond, time.Hour)})
	}
	return list
}

// bfd checks every [[bfd]].
func (c *checker) bfd(raw []rawBFD, all *interfaces) (list []BFD, taken names) {
	taken = names{}
	peers := map[netip.Addr]int{}
	for i := range raw {
		r := &raw[i]
		required(c, &r.Name, `a name like name = "isp1-gw"`)
		c.name(&r.Name)
		taken.add(c, &r.Name, "BFD session")
		required(c, &r.Peer, `the neighbour's address like peer = "203.0.113.1"`)
		peer := c.neighborAddress(&r.Peer, all)
		if peer.IsValid() && !r.Peer.Bad && !c.damaged && !all.uncertain && !all.mirror {
			if itf, _ := all.connected(peer); itf == nil && !isLinkLocal6(peer) {
				c.add(r.Peer.Line, "peer %s is in no prefix of an interface; single-hop BFD wants a neighbour on a link of this router", peer)
			}
		}
		c.bfdTimers(&r.Interval, &r.Multiplier)
		if line, again := peers[peer]; again && peer.IsValid() {
			c.add(r.Peer.Line, "peer %s is that of the session on line %d; one neighbour has one session, which several things may track", peer, line)
		}
		peers[peer] = r.Peer.Line
		list = append(list, BFD{r.Name.Value, peer, BFDTimers{r.Interval.Value, int(r.Multiplier.Value)}})
	}
	return list, taken
}

// bfdTimers checks what [[bfd]] and the bfd of a BGP neighbour share.
func (c *checker) bfdTimers(interval *duration, multiplier *integer) {
	c.lasting(interval, 10*time.Millisecond, 10*time.Second)
	c.within(multiplier, 1, 255) // one byte, not zero (RFC 5880 4.1)
}

// tracks checks what the virtual routers track.
func (c *checker) tracks(raw []rawVRRP, all *interfaces, t targets) {
	for i := range raw {
		for j := range raw[i].Track {
			c.track(&raw[i].Track[j], all, t)
		}
	}
}

func (c *checker) track(r *rawTrack, all *interfaces, t targets) {
	c.within(&r.Weight, 0, 254)
	all.known(c, &r.Interface)
	c.prefix(&r.Route)
	c.refers(&r.BGP, t.neighbors, "[[bgp.neighbor]]")
	c.refers(&r.BFD, t.bfd, "[[bfd]]")
	c.refers(&r.Check, t.checks, "[[check]]")
	switch count(r.Interface.Set, r.Route.Set, r.BGP.Set, r.BFD.Set, r.Check.Set) {
	case 1:
	case 0:
		c.missing(at{"what to track", r.Line}, "one of interface, route, bgp, bfd, check")
	default:
		c.add(r.Line, "an element of track names several things; write one of interface, route, bgp, bfd, check in each { }")
	}
}

// track returns what one element of track says; tracks has checked it, or will.
func track(r *rawTrack) Track {
	t := Track{
		Interface: r.Interface.Value, BGP: r.BGP.Value, BFD: r.BFD.Value, Check: r.Check.Value,
		Weight: uint8(r.Weight.Value),
	}
	if p, err := netip.ParsePrefix(r.Route.Value); err == nil {
		t.Route = p.Masked()
	}
	return t
}

// refers checks a name that refers to a table of another kind.
func (c *checker) refers(f *text, defined names, kind string) {
	if _, ok := defined[f.Value]; f.given() && !ok && !c.damaged {
		c.add(f.Line, "%s %q is not defined; write the name of a %s (%s)", f.Key, f.Value, kind, quoted(slices.Sorted(maps.Keys(defined))))
	}
}
