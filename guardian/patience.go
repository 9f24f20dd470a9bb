package guardian

import "time"

// looks is how many signs of life the router process gives within a watchdog's
// time, so that it may miss some.
const looks = 4

// unhurried is the least that the watchdog's time is where nobody waits for a will:
// the router process is Master of nothing, and the CPU is left alone.
const unhurried = time.Second

// limit returns the watchdog's time where there are wills to send, and where
// there are none.
func limit(watchdog time.Duration, wills bool) time.Duration {
	if wills || watchdog == 0 {
		return watchdog
	}
	return max(watchdog, unhurried)
}

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
	beat     int64         // boot time of the last heartbeat that was seen
	silent   time.Duration
	excused  int
}

// interval is the longest time between two signs of life.
func (p *patience) interval() time.Duration { return p.watchdog / looks }

// heard takes note of a sign of life, given so long ago.
func (p *patience) heard(ago time.Duration) {
	p.silent, p.excused = min(p.silent, max(ago, 0)), 0
}

// felt takes note of the heartbeat that was left last; now is boot time.
func (p *patience) felt(beat, now int64) {
	if beat != p.beat {
		p.beat = beat
		p.heard(time.Duration(now - beat))
	}
}

// wait returns how long to wait before the next look. A process that beats is
// looked at only when it would be late by several beats, and then twice: where
// both were frozen, it gets to beat before it is judged. Where the time is over
// and the process is left alone all the same (it starts, or hands over), that is
// an interval too: a guardian that spins takes its CPU.
func (p *patience) wait() time.Duration {
	switch {
	case p.watchdog == 0:
		return time.Second
	case p.dead():
		return p.interval()
	}
	if early := p.watchdog - p.interval() - p.silent; early >= p.interval() {
		return early
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
