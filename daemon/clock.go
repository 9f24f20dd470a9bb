package daemon

import (
	"time"

	"vrouter/dataplane/worker"
)

// clock tells the time that the control plane lives in: it starts at the wall
// clock's time and goes on with CLOCK_BOOTTIME. Nobody can step it, and unlike
// the monotonic clock it does not stand still while the machine is suspended,
// so that a thawed router knows how long it was away.
type clock struct {
	wall time.Time // without monotonic part, when boot was
	boot int64
}

func newClock() clock {
	return clock{wall: time.Now().Round(0), boot: worker.BootTime()}
}

// now returns the time, and the boot time that it was made from.
func (c clock) now() (time.Time, int64) {
	boot := worker.BootTime()
	return c.at(boot), boot
}

// at returns the time of a boot time.
func (c clock) at(boot int64) time.Time { return c.wall.Add(time.Duration(boot - c.boot)) }
