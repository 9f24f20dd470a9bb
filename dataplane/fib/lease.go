package fib

import "sync/atomic"

// Lease is the forwarding lease: workers serve virtual MACs only until it
// expires, and the control loop renews it each time VRRP has run on time. It
// is shared by all snapshots of a router. Times are nanoseconds of the clock
// that workers read for it (CLOCK_BOOTTIME, which goes on in suspend).
type Lease struct {
	until atomic.Int64
}

// Renew extends the lease to until.
func (l *Lease) Renew(until int64) { l.until.Store(until) }

// Valid reports whether the lease holds at now. A nil lease always holds.
func (l *Lease) Valid(now int64) bool { return l == nil || now < l.until.Load() }
