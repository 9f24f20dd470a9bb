package config

import (
	"net/netip"
	"strings"
	"time"
)

// maxSocketPath is what struct sockaddr_un holds beside the zero at its end.
const maxSocketPath = 107

// router checks [router].
func (c *checker) router(raw *rawRouter) Router {
	c.name(&raw.User)
	return Router{
		Name:     c.name(&raw.Name),
		RouterID: c.routerID(&raw.RouterID),
		Engine:   Engine(c.oneOf(&raw.Engine, string(EngineFast), string(EngineNetstack))),
		Watchdog: c.lasting(&raw.Watchdog, 10*time.Millisecond, 10*time.Second),
		Workers:  int(c.within(&raw.Workers, 0, 256)),
		BusyPoll: c.lasting(&raw.BusyPoll, 0, 10*time.Millisecond),
	}
}

// routerID checks the BGP identifier: 4 bytes written as an IPv4 address, not
// zero (RFC 6286 2.1).
func (c *checker) routerID(f *text) netip.Addr {
	if !f.given() {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(f.Value)
	if err != nil || !a.Is4() || a.IsUnspecified() {
		f.Bad = true
		c.add(f.Line, `%s %q is no router identifier; write an IPv4 address like "192.0.2.2"`, f.Key, f.Value)
		return netip.Addr{}
	}
	return a
}

// control checks [control].
func (c *checker) control(raw *rawControl) Control {
	if f := &raw.Socket; f.given() {
		switch {
		case f.Value == "":
			c.add(f.Line, `%s is empty; write a path like "/run/vrouter/vrouter.sock"`, f.Key)
		case len(f.Value) > maxSocketPath:
			c.add(f.Line, "%s %q has %d bytes; a unix socket's path has at most %d", f.Key, f.Value, len(f.Value), maxSocketPath)
		case strings.ContainsRune(f.Value, 0):
			c.add(f.Line, "%s %q has a zero byte in it; write a path", f.Key, f.Value)
		}
	}
	return Control{Socket: raw.Socket.Value, Listen: c.listen(&raw.Listen)}
}

// listen checks the address of a TCP listener.
func (c *checker) listen(f *text) netip.AddrPort {
	if !f.given() {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddrPort(f.Value)
	if err != nil || a.Port() == 0 || a.Addr().IsMulticast() {
		f.Bad = true
		c.add(f.Line, `%s %q is no address and port; write them like "127.0.0.1:9468" or "[::1]:9468"`, f.Key, f.Value)
		return netip.AddrPort{}
	}
	return a
}

// log checks [log].
func (c *checker) log(raw *rawLog) Log {
	return Log{
		Level:  c.oneOf(&raw.Level, "debug", "info", "warn", "error"),
		Format: c.oneOf(&raw.Format, "text", "json"),
	}
}
