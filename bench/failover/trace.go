package main

import "time"

// Times in traces are the wall clock's in nanoseconds, as the kernel stamps
// what it receives; 0 means never.

// fate is what became of one packet of a stream.
type fate struct {
	sent    int64
	arrived int64 // the first copy
	copies  uint8
}

// figures sums up a part of a stream.
type figures struct {
	Sent       int
	Lost       int
	Duplicates int
	Reordered  int           // packets that a later one overtook
	Gap        time.Duration // the longest time that something was under way or lost: see evaluate
	Open       bool          // the last packet is lost: the gap may be longer
}

// evaluate sums up consecutive packets of one stream.
//
// The gap is what a sender sees as an interruption: it begins when a packet is
// sent that does not arrive, or not at once, and ends when the next one in the
// order of sending arrives. So it counts packets that a router kept for a
// while as well as lost ones, and it is the transit time where nothing
// happens. When the sender itself paused, no packet was sent that could have
// been missed: a pause is no gap.
func evaluate(packets []fate) (f figures) {
	var missing int64 // when the first packet of those missing now was sent
	var latest int64  // the latest arrival so far
	for _, p := range packets {
		f.Sent++
		if p.copies == 0 {
			f.Lost++
			if missing == 0 {
				missing = p.sent
			}
			continue
		}
		f.Duplicates += int(p.copies) - 1
		if p.arrived < latest {
			f.Reordered++
		}
		latest = max(latest, p.arrived)
		since := p.sent
		if missing != 0 {
			since = missing
		}
		f.Gap = max(f.Gap, time.Duration(p.arrived-since))
		missing = 0
	}
	if missing != 0 {
		f.Open = true
		f.Gap = max(f.Gap, time.Duration(packets[len(packets)-1].sent-missing))
	}
	return f
}

// add sums up several streams: losses and copies are added, the gap is that
// of the worst.
func (f figures) add(o figures) figures {
	return figures{
		Sent:       f.Sent + o.Sent,
		Lost:       f.Lost + o.Lost,
		Duplicates: f.Duplicates + o.Duplicates,
		Reordered:  f.Reordered + o.Reordered,
		Gap:        max(f.Gap, o.Gap),
		Open:       f.Open || o.Open,
	}
}

// answer is one reply to the question who has the gateway's address.
type answer struct {
	at     int64
	router int
}

// ownership sums up who answered the questions of a part of a run.
type ownership struct {
	Asked    int
	Most     int           // the most routers that answered one question
	Together time.Duration // for how long more than one did
	None     time.Duration // for how long nobody did
	Who      [numRouters]int
}

// owners sorts answers to the questions that they answer: an answer belongs to
// the latest question before it. Both are in order of time; period is the time
// between two questions. Answers before the first question are left out.
func owners(questions []int64, answers []answer, period time.Duration) (o ownership) {
	o.Asked = len(questions)
	next := 0
	for i, asked := range questions {
		var who [numRouters]bool
		for ; next < len(answers) && answers[next].at < asked; next++ {
		}
		for ; next < len(answers) && (i+1 == len(questions) || answers[next].at < questions[i+1]); next++ {
			who[answers[next].router] = true
		}
		count := 0
		for r, answered := range who {
			if answered {
				count++
				o.Who[r]++
			}
		}
		o.Most = max(o.Most, count)
		switch {
		case count == 0:
			o.None += period
		case count > 1:
			o.Together += period
		}
	}
	return o
}

// add sums up two families: the worse counts.
func (o ownership) add(p ownership) ownership {
	r := ownership{
		Asked: o.Asked + p.Asked, Most: max(o.Most, p.Most),
		Together: max(o.Together, p.Together), None: max(o.None, p.None),
	}
	for i := range r.Who {
		r.Who[i] = o.Who[i] + p.Who[i]
	}
	return r
}
