package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/internal/netlab"
)

const (
	pollTime  = 10 * time.Millisecond
	before    = 100 * time.Millisecond // measured before the event
	flowTime  = 300 * time.Millisecond // traffic without a loss that counts as flowing
	ownerTime = 200 * time.Millisecond // answers of one owner alone that count as settled
	// The sender may be late by so much at most: what happens meanwhile is not
	// seen. Thawing a daemon that has the kernel's addresses stops this
	// machine's threads for up to a quarter of a second, real-time ones too.
	senderLate = 40 * time.Millisecond
	thawLate   = 300 * time.Millisecond
	clockStep  = time.Millisecond // the wall clock may drift by so much at most
)

// session is one network with two routers of one kind, in which events happen
// one after the other.
type session struct {
	*network
	kind     *kind
	interval time.Duration
	meter    *meter
	watch    *watch
	daemons  [numRouters]daemon
	rig      rig
}

// rig is what an event has changed, for undo.
type rig struct {
	cut, blocked [numSides]bool
	isolated     bool
	deaf         bool  // VRRP of router 0 is dropped at the LAN's switch
	dropped      int   // advertisements so far
	frozen       []int // processes
	killed       bool  // processes of router 0
	priority     bool  // router 0 has another than its own
}

// steady is for how long a router must have been the only one that advertises
// to count as the master: each place is heard once at least.
func (s *session) steady() time.Duration { return max(flowTime, s.interval*3/2) }

// patience is how long the network may take to come to rest.
func (s *session) patience() time.Duration { return 12*time.Second + 10*s.interval }

func newSession(k *kind, interval time.Duration) (s *session, err error) {
	l, err := netlab.New()
	if err != nil {
		return nil, err
	}
	s = &session{kind: k, interval: interval}
	if s.network, err = newNetwork(l); err != nil {
		l.Close()
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for i, p := range s.routers {
		if s.daemons[i], err = k.make(p, interval); err != nil {
			return nil, err
		}
	}
	if s.watch, err = newWatch(s.network); err != nil {
		return nil, err
	}
	if s.meter, err = startMeter(s.meterEnds()); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *session) close() {
	if s.meter != nil {
		s.meter.close()
	}
	if s.watch != nil {
		s.watch.close()
	}
	s.lab.Close()
}

// logs returns the last words of both routers.
func (s *session) logs() (text string) {
	const lines = 40
	for i, d := range s.daemons {
		all := strings.Split(strings.TrimSpace(d.log()), "\n")
		text += fmt.Sprintf("--- log of router %d\n%s\n", i+1, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return text
}

// wait polls a condition until it holds, for a time at most; the error is the
// last reason why it did not.
func wait(ctx context.Context, limit time.Duration, condition func() error) error {
	for end := time.Now().Add(limit); ; time.Sleep(pollTime) {
		err := condition()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %v: %w", limit, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// settled returns nil when a router is master of all four places, alone unless
// beside is set, and traffic flows.
func (s *session) settled(master int, beside bool) error {
	at := now()
	if beside {
		if !s.watch.speaks(master, at, s.steady()) {
			return fmt.Errorf("router %d is not master everywhere", master+1)
		}
	} else if who, err := s.watch.master(at, s.steady()); err != nil {
		return err
	} else if master != anyRouter && who != master {
		return fmt.Errorf("router %d is master, not %d", who+1, master+1)
	}
	if !s.meter.flowing(flowTime) {
		return errors.New("not every packet arrives")
	}
	return nil
}

// owned returns nil when one router alone answers for the gateway, and that
// is the given one.
func (s *session) owned(master int) error {
	at := now() - int64(askPeriod)
	o := s.watch.owners(at-int64(ownerTime), at)
	if o.Most != 1 || o.Who[master] < o.Asked*3/4 {
		return fmt.Errorf("%d of %d questions are answered by router %d, by %d routers at most",
			o.Who[master], o.Asked, master+1, o.Most)
	}
	return nil
}

// base brings the network to where every repetition begins: router 0 is the
// master and all is well.
func (s *session) base(ctx context.Context) error {
	if err := s.undo(); err != nil {
		return err
	}
	for i, d := range s.daemons {
		if d.running() {
			continue
		}
		if i == 0 && s.rig.killed {
			d.killed()
		}
		if err := d.start(); err != nil {
			return err
		}
	}
	s.rig.killed = false
	return wait(ctx, s.patience(), func() error {
		if err := s.settled(0, false); err != nil {
			return err
		}
		return s.owned(0)
	})
}

// undo takes back what an event has done to the network and the processes.
func (s *session) undo() error {
	var errs []error
	for side, link := range s.routers[0].links {
		if s.rig.cut[side] {
			errs = append(errs, link.Plug())
		}
		if s.rig.blocked[side] {
			errs = append(errs, link.Block(false))
		}
		s.rig.cut[side], s.rig.blocked[side] = false, false
	}
	if s.rig.isolated {
		s.rig.isolated = false
		errs = append(errs, s.routers[0].links[sideWAN].Isolate(false), s.uplink.Isolate(false))
	}
	if s.rig.deaf {
		errs = append(errs, s.hearAgain())
	}
	for _, pid := range s.rig.frozen {
		unix.Kill(pid, unix.SIGCONT) // it may have been ended meanwhile
	}
	s.rig.frozen = nil
	if s.rig.priority {
		s.rig.priority = false
		errs = append(errs, s.daemons[0].setPriority(priorityHigh))
	}
	return errors.Join(errs...)
}

func (s *session) hearAgain() error {
	n, err := s.routers[0].links[sideLAN].PassVRRP()
	s.rig.deaf = false
	s.rig.dropped += n
	return err
}

// errUnjudged is wrapped by the errors of repetitions of which nothing can be
// said, because of the meter or because the event did not happen.
var errUnjudged = errors.New("cannot be judged")

// result is what one repetition brought.
type result struct {
	Figures figures
	Streams []figures // each, in the meter's order: LAN to WAN, back; IPv4, IPv6
	Owners  ownership
	Taken   time.Duration // until the wanted router was heard as master everywhere; 0: not, or no change
	Settled bool          // all was well at the end
	Why     string        // if not: what was not
	Late    time.Duration // the longest delay of the meter's sender
}

// repetition lets an event happen once, and measures.
func (s *session) repetition(ctx context.Context, e *event) (r result, err error) {
	s.watch.forget(now() - int64(30*time.Second))
	if err := s.base(ctx); err != nil {
		return r, fmt.Errorf("the network does not come to rest: %w", err)
	}
	if e.prepare != nil {
		if err := e.prepare(ctx, s); err != nil {
			return r, fmt.Errorf("before the event: %w", err)
		}
	}
	s.meter.lateness()
	lost, offset := s.meter.overflows(), clockOffset()
	time.Sleep(before)
	start := now()
	if err := e.do(s); err != nil {
		return r, fmt.Errorf("the event: %w", err)
	}
	if err := s.observe(ctx, e, time.Now(), &r); err != nil {
		return r, err
	}
	time.Sleep(grace)
	end := now() - int64(grace)
	r.Figures, r.Streams = s.meter.between(start-int64(before), end)
	r.Owners = s.watch.owners(start-int64(before), end)
	if e.master != anyRouter {
		if at, ok := s.watch.taken(e.master, start); ok {
			r.Taken = time.Duration(at - start)
		}
	}
	return r, s.judge(e, &r, lost, offset)
}

// observe waits until all is well again after an event, for the event's least
// time at least; an event with a second part gets that on the way.
func (s *session) observe(ctx context.Context, e *event, start time.Time, r *result) error {
	if e.hold != nil {
		if err := sleep(ctx, e.hold(s.interval)); err != nil {
			return err
		}
		if err := e.release(s); err != nil {
			return fmt.Errorf("end of the event: %w", err)
		}
		start = time.Now()
	}
	limit := e.limit(s.interval)
	for {
		if err := sleep(ctx, pollTime); err != nil {
			return err
		}
		past := time.Since(start)
		err := s.settled(e.master, e.beside)
		if err == nil && past >= e.least(s.interval) {
			r.Settled = true
			return nil
		}
		if past > limit {
			if err != nil {
				r.Why = err.Error()
			}
			return nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// judge returns an error where the meter was not good enough or the event left
// no trace.
func (s *session) judge(e *event, r *result, lost uint32, offset time.Duration) error {
	limit := senderLate
	if e.thaws {
		limit = thawLate
	}
	if r.Late = s.meter.lateness(); r.Late > limit {
		return fmt.Errorf("%w: the sender was late by %v", errUnjudged, r.Late)
	}
	if n := s.meter.overflows() - lost; n > 0 {
		return fmt.Errorf("%w: the meter lost %d packets itself", errUnjudged, n)
	}
	if step := clockOffset() - offset; step > clockStep || step < -clockStep {
		return fmt.Errorf("%w: the wall clock was changed by %v", errUnjudged, step)
	}
	if e.happened != nil {
		if err := e.happened(s, r); err != nil {
			return fmt.Errorf("%w: the event did not happen: %w", errUnjudged, err)
		}
	}
	return nil
}

// clockOffset is the wall clock's lead over the clock that nobody sets.
func clockOffset() time.Duration {
	var wall, mono unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
	unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
	return time.Duration(wall.Nano() - mono.Nano())
}
