package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vrouter/bench/prefixes"
	"vrouter/dataplane/fib"
	"vrouter/packet"
	"vrouter/rib"
)

// How long things are looked at.
const (
	settleTime = 30 * time.Millisecond
	roundTime  = 150 * time.Millisecond
	turnTime   = 5 * time.Millisecond // between publications of changes
)

// frames returns one frame of 60 bytes (IPv6: 72) for each of n flows, to as many
// of the prefixes.
func (b *testbed) frames(to []netip.Prefix, n int) []*packet.Frame {
	dst, payload := b.ports[lan].Status().MAC, 10
	src := [2]netip.Addr{netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("2001:db8:1::200")}
	var list []*packet.Frame
	for i, a := range prefixes.Addresses(1, to, n) {
		data := make([]byte, 14+40+8+payload)
		udp := data[14+40:]
		if a.Is4() {
			data = data[:14+20+8+payload+8] // 60, the least on Ethernet but for the checksum
			udp = data[14+20:]
			packet.PutEthernet(data, dst, packet.MAC{2, 0, 0, 0, 9, 9}, packet.EtherTypeIPv4)
			(&packet.IPv4Header{TTL: 64, Protocol: packet.ProtoUDP, Src: src[0], Dst: a}).Put(data[14:], len(udp))
		} else {
			packet.PutEthernet(data, dst, packet.MAC{2, 0, 0, 0, 9, 9}, packet.EtherTypeIPv6)
			(&packet.IPv6Header{HopLimit: 64, NextHeader: packet.ProtoUDP, Src: src[1], Dst: a}).Put(data[14:], len(udp))
		}
		udp[0], udp[1], udp[3], udp[5] = byte(i>>8), byte(i), 9, byte(len(udp))
		list = append(list, &packet.Frame{Data: data})
	}
	return list
}

// measure runs what needs packets.
func (r *report) measure(ctx context.Context, b *testbed) error {
	for f := range r.forwarding {
		to := prefixes.IPv4(1, r.four)
		if f == 1 {
			to = prefixes.IPv6(1, r.six)
		}
		frames := b.frames(to, r.flows)
		table, changes := r.table()
		few, many := b.snapshotOf(newTable(wan).Publish), b.snapshotOf(table.Publish)
		if err := b.passes(frames, few, many); err != nil {
			return err
		}
		if err := r.compare(ctx, b, f, frames, few, many); err != nil {
			return err
		}
		if f == 0 {
			r.reroute(b, frames, table)
			r.update(b, frames, table, changes)
		}
	}
	return ctx.Err()
}

// table returns a table with all routes, and what changes them. It leaves nothing
// else behind.
func (r *report) table() (*rib.Table, *changer) {
	t, routes := newTable(backup), r.internet()
	loadTable(t, routes)
	return t, &changer{table: t, prefixes: compact(routes)}
}

// passes checks that every packet goes through with every table.
func (b *testbed) passes(frames []*packet.Frame, tables ...*fib.Snapshot) error {
	for _, s := range tables {
		b.snapshot.Store(s)
		before := b.counts()
		for part := range slices.Chunk(frames[:min(len(frames), 2000)], 16) {
			b.transmit.Transmit(part)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		after := b.counts()
		if n := after.forwarded[wan] - before.forwarded[wan]; n == 0 || n != after.sent-before.sent {
			return fmt.Errorf("of %d packets %d were forwarded to the WAN, %+v lost; drops %+v",
				after.sent-before.sent, n, after.lost-before.lost, b.worker.Counters().Drops)
		}
	}
	return nil
}

// compare floods, and lets the tables forward in turn.
func (r *report) compare(ctx context.Context, b *testbed, f int, frames []*packet.Frame, few, many *fib.Snapshot) error {
	b.generator.start(b.transmit, frames, 0)
	defer b.generator.stop()
	look := func(s *fib.Snapshot) (rate, cost float64) {
		b.snapshot.Store(s)
		time.Sleep(settleTime)
		before := b.counts()
		time.Sleep(roundTime)
		return b.counts().rate(before)
	}
	for range r.rounds {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fewRate, fewCost := look(few)
		manyRate, manyCost := look(many)
		if fewRate == 0 || manyRate == 0 {
			continue // the worker did not get to run at all
		}
		w := &r.forwarding[f]
		w.few, w.many, w.rate = append(w.few, fewRate), append(w.many, manyRate), append(w.rate, manyRate/fewRate)
		w.fewCost, w.manyCost = append(w.fewCost, fewCost), append(w.manyCost, manyCost)
	}
	if len(r.forwarding[f].rate) == 0 {
		return errors.New("nothing was forwarded in any round")
	}
	return nil
}

// reroute takes the port of all prefixes away while packets flow, and waits for
// the first one that leaves by the default route's.
func (r *report) reroute(b *testbed, frames []*packet.Frame, table *rib.Table) {
	b.generator.start(b.transmit, frames, 100_000)
	defer b.generator.stop()
	for range 50 {
		b.publish(table.Publish)
		time.Sleep(settleTime)
		before := b.counts().forwarded[backup]
		began := time.Now()
		table.SetPort(wan, false)
		b.publish(table.Publish)
		for b.worker.Output(backup).Stats().Frames == before {
			if time.Since(began) > time.Second {
				break // it counts as that
			}
			time.Sleep(10 * time.Microsecond) // the worker needs the CPU
		}
		r.firstPacket = append(r.firstPacket, time.Since(began))
		table.SetPort(wan, true)
	}
	b.publish(table.Publish)
}

// update forwards at 80 % of the rate that the table was measured at, without and
// with changes of routes.
func (r *report) update(b *testbed, frames []*packet.Frame, table *rib.Table, c *changer) {
	r.load80 = 0.8 * median(r.forwarding[0].many)
	for range r.tries {
		r.calm = append(r.calm, r.lossOf(b, frames, nil))
		r.stirred = append(r.stirred, r.lossOf(b, frames, func() {
			c.change(r.updates * int(turnTime) / int(time.Second))
			b.publish(table.Publish)
		}))
	}
}

// loss is what became of packets at a steady rate.
type loss struct {
	sent, lost uint64
	rate       float64       // sent a second
	late       time.Duration // of the slowest turn of changes
	busy       time.Duration // of all of them
}

// lossOf forwards for a while, with a turn of changes every turnTime.
func (r *report) lossOf(b *testbed, frames []*packet.Frame, turn func()) (l loss) {
	b.generator.start(b.transmit, frames, r.load80)
	time.Sleep(settleTime)
	before, over := b.counts(), time.Now().Add(r.loss)
	for next := time.Now(); time.Now().Before(over); {
		next = next.Add(turnTime)
		if turn != nil {
			began := time.Now()
			turn()
			took := time.Since(began)
			l.late, l.busy = max(l.late, took), l.busy+took
		}
		time.Sleep(time.Until(next))
	}
	seconds := time.Since(before.at).Seconds()
	b.generator.stop()
	time.Sleep(50 * time.Millisecond)
	after := b.counts()
	l.sent = after.sent - before.sent
	l.rate = float64(l.sent) / seconds
	if n := after.total() - before.total(); n < l.sent {
		l.lost = l.sent - n
	}
	return l
}

// median returns the median of a list that is not empty.
func median[T float64 | time.Duration](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}
