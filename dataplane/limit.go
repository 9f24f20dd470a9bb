package dataplane

import "net/netip"

// The rate limits of ICMP errors (RFC 1812 4.3.2.8, RFC 4443 2.4 (f)). The
// total bounds what the router spends on them; the share of one receiver keeps
// a flood from one host from starving the traceroute of another, and still
// answers three probes at each of many hops at once.
const (
	limitTotalInterval = 1e9 / 1000 // ns between errors
	limitTotalBurst    = 200
	limitHostInterval  = 1e9 / 100
	limitHostBurst     = 50
)

// limiter bounds the ICMP errors that one Forwarder sends, in all and to each
// receiver. Receivers share buckets by hash: an IPv4 address or an IPv6 /64.
type limiter struct {
	total bucket
	hosts [256]bucket
}

// bucket is a token bucket in the form of the generic cell rate algorithm:
// the time at which it will be full again, in nanoseconds.
type bucket int64

// allows reports whether one more event conforms at now.
func (b bucket) allows(now, interval int64, burst int64) bool {
	return int64(b)-now <= (burst-1)*interval
}

// take accounts for one event at now.
func (b *bucket) take(now, interval int64) { *b = bucket(max(int64(*b), now) + interval) }

// allow reports whether an ICMP error may be sent to a host at now, and
// accounts for it if so.
func (l *limiter) allow(now int64, to netip.Addr) bool {
	a := to.As16()
	last := 16
	if to.Is6() {
		last = 8
	}
	h := uint64(0)
	for _, x := range a[:last] {
		h = mix(h, uint64(x))
	}
	host := &l.hosts[h%uint64(len(l.hosts))]
	if !l.total.allows(now, limitTotalInterval, limitTotalBurst) || !host.allows(now, limitHostInterval, limitHostBurst) {
		return false
	}
	l.total.take(now, limitTotalInterval)
	host.take(now, limitHostInterval)
	return true
}
