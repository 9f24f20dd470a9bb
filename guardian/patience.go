package guardian

import "time"

// looks is how often the guardian looks within a watchdog's time, and how often
// the router process sends a heartbeat.
const looks = 4

// allowances is how often in a row the guardian excuses a silence: because it
// was late itself, or because the control loop waits for a CPU. A machine that keeps even the guardian waiting for ever is
// no place for a Master.
const allowances = 8

// patience decides when a silent process is dead. It counts the time in which
// the guardian was awake: one that finds itself late was frozen (stopped,
// suspended, starved), the router process may have been frozen with it, and
// gets a whole watchdog's time from then on.
type patience struct {
	watchdog time.Duration // 0: not known yet
	silent   time.Duration
	excused  int
}

// interval is the time between two looks.
func (p *patience) interval() time.Duration { return p.watchdog / looks }

// heard takes note of a sign of life.
func (p *patience) heard() { p.silent, p.excused = 0, 0 }

// wait returns how long to wait for a sign of life before the next look. Where
// the time is over and the process is left alone all the same (it starts, or
// hands over), that is an interval too: a guardian that spins takes its CPU.
func (p *patience) wait() time.Duration {
	switch {
	case p.watchdog == 0:
		return time.Second
	case p.dead():
		return p.interval()
	}
	return min(p.interval(), p.watchdog-p.silent)
}

// woke takes note that the guardian woke up after elapsed, having asked for
// asked at most, and returns by how much that was too late.
func (p *patience) woke(asked, elapsed time.Duration) (late time.Duration) {
	late = max(elapsed-asked, 0)
	if late > p.interval()/2 && p.excuse() {
		return late
	}
	p.silent += elapsed
	return late
}

// excuse lets a silence begin anew, unless that has been done too often.
func (p *patience) excuse() bool {
	if p.excused >= allowances {
		return false
	}
	p.silent = 0
	p.excused++
	return true
}

// dead reports whether the process was silent for too long.
func (p *patience) dead() bool { return p.watchdog > 0 && p.silent >= p.watchdog }
