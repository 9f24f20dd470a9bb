package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"vrouter/internal/netlab"
)

// test is one kind of measurement.
type test struct {
	name   string
	what   string
	unit   string
	less   bool // less is better
	pinned bool
	run    func(ctx context.Context, o *options, t *trial) (float64, error)
}

var tests = []*test{
	{"flood", "packets/s at 64 bytes, one flow", "packets/s", false, true, floodTest(1)},
	{"flood10k", "packets/s at 64 bytes, 10,000 flows", "packets/s", false, true, floodTest(10_000)},
	{"rate", "rate with at most 0.1 % loss", "packets/s", false, true, rateTest},
	{"cost", "CPU time of a packet under load", "ns", true, true, costTest},
	{"cost10k", "CPU time of a packet at 10,000 packets/s", "ns", true, true, costTest},
	{"rtt", "round trip at 1,000 packets/s, median", "µs", true, true, roundTripTest(0.5)},
	{"rtt99", "round trip at 1,000 packets/s, 99th percentile", "µs", true, true, roundTripTest(0.99)},
	{"tcp1", "TCP, one stream", "Gbit/s", false, false, streamTest(1)},
	{"tcp4", "TCP, four streams", "Gbit/s", false, false, streamTest(4)},
	{"idle", "CPU time while nothing is to be done", "% of a CPU", true, true, idleTest},
}

// paces are those of the tests of cost.
var paces = map[string]pace{"cost": {}, "cost10k": {rate: 10_000, sleeps: true}}

// trial is a network with a router that forwards.
type trial struct {
	network *network
	process *netlab.Process // nil: the kernel
	pace    pace            // of a test of cost
	base    time.Duration   // what a packet costs the sender and the sink without a router
}

// prepare makes the network, starts the router (nil: none), and waits until it
// forwards.
func prepare(ctx context.Context, o *options, r *router, pinned bool) (t *trial, err error) {
	t = &trial{}
	if t.network, err = newNetwork(r == nil, pinned); err != nil {
		return nil, err
	}
	if r != nil {
		if t.process, err = r.start(ctx, o, t.network); err == nil {
			err = t.network.reach(ctx)
		}
		if err != nil && t.process != nil {
			err = fmt.Errorf("%w\n%s", err, t.process.Output())
		}
	}
	if err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

func (t *trial) end() {
	if t.process != nil {
		_ = t.process.Stop(5 * time.Second) // it is killed with the lab otherwise
	}
	t.network.close()
}

// result is what a flood came to.
type result struct {
	flood
	arrived uint64
	router  time.Duration // CPU time of the router's processes and softirq threads
}

// send floods, or sends at a rate, and counts what arrives.
func (t *trial) send(flows int, p pace, lasts time.Duration) (r result, err error) {
	before, err := t.network.arrived()
	if err != nil {
		return r, err
	}
	cpu := cpuOf(t.process)
	if err := t.network.gen.Do(func() (err error) {
		r.flood, err = generate(t.network.next, flows, p, lasts)
		return err
	}); err != nil {
		return r, err
	}
	r.router = cpuOf(t.process).since(cpu)
	time.Sleep(50 * time.Millisecond) // what is under way
	after, err := t.network.arrived()
	r.arrived = min(after-before, r.sent) // a host says something of itself now and then
	return r, err
}

// floodTest measures how many packets a second arrive of a flood.
func floodTest(flows int) func(context.Context, *options, *trial) (float64, error) {
	return func(ctx context.Context, o *options, t *trial) (float64, error) {
		if err := t.network.discard(ctx); err != nil {
			return 0, err
		}
		r, err := t.send(flows, pace{}, o.lasts)
		return float64(r.arrived) / r.took.Seconds(), err
	}
}

// lossMost is the share of packets that the rate test allows to be lost.
const lossMost = 0.001

// rateTest finds the highest rate at which next to nothing is lost, by bisection
// below what a flood brings through.
func rateTest(ctx context.Context, o *options, t *trial) (float64, error) {
	if err := t.network.discard(ctx); err != nil {
		return 0, err
	}
	r, err := t.send(1, pace{}, o.lasts/2)
	if err != nil {
		return 0, err
	}
	low, high := 0.0, 1.2*float64(r.arrived)/r.took.Seconds()
	for range 7 {
		middle := (low + high) / 2
		ok, err := t.carries(middle, o.lasts/3)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

// carries reports whether a rate gets through, in one of several tries: on a
// machine that others use, one stall is not the router's.
func (t *trial) carries(rate float64, lasts time.Duration) (bool, error) {
	for range 4 {
		r, err := t.send(1, pace{rate: rate}, lasts)
		if err != nil {
			return false, err
		}
		lost := 1 - float64(r.arrived)/float64(r.sent)
		kept := float64(r.sent)/r.took.Seconds() >= 0.99*rate // else the generator was held up
		if kept && lost <= lossMost {
			return true, nil
		}
	}
	return false, nil
}

// costTest measures what a packet costs beyond what it costs without a router.
func costTest(ctx context.Context, o *options, t *trial) (float64, error) {
	if err := t.network.discard(ctx); err != nil {
		return 0, err
	}
	perPacket, err := t.cost(o.lasts)
	return float64(perPacket - t.base), err
}

// cost returns the CPU time of a packet, everybody's together.
func (t *trial) cost(lasts time.Duration) (time.Duration, error) {
	r, err := t.send(1, t.pace, lasts)
	if err != nil || r.arrived == 0 {
		return 0, errors.Join(err, errors.New("nothing arrives"))
	}
	return (r.cpu + r.router) / time.Duration(r.arrived), nil
}

// roundTripTest measures echoes by the sink's kernel.
func roundTripTest(quantile float64) func(context.Context, *options, *trial) (float64, error) {
	return func(_ context.Context, o *options, t *trial) (float64, error) {
		var times []time.Duration
		err := t.network.gen.Do(func() (err error) {
			times, err = echoes(t.network.next, int(o.lasts/time.Millisecond))
			return err
		})
		if err != nil {
			return 0, err
		}
		slices.Sort(times)
		return float64(times[int(quantile*float64(len(times)-1))].Nanoseconds()) / 1000, nil
	}
}

// streamTest measures TCP by iperf3.
func streamTest(streams int) func(context.Context, *options, *trial) (float64, error) {
	return func(ctx context.Context, o *options, t *trial) (float64, error) {
		server, err := t.network.end.Start("iperf3", "-s", "-1")
		if err != nil {
			return 0, err
		}
		defer server.Kill()
		var last error
		for range 20 { // until the server listens
			text, err := t.network.gen.Run(ctx, "iperf3", "-J", "-c", sinkAddress,
				"-P", strconv.Itoa(streams), "-t", strconv.Itoa(max(1, int(o.lasts.Seconds()))))
			if err == nil {
				var rate float64
				if rate, err = parseIperf(text); err == nil {
					return rate, nil
				}
			}
			last = err
			time.Sleep(100 * time.Millisecond)
		}
		return 0, last
	}
}

// parseIperf returns Gbit/s as the receiver counted them.
func parseIperf(text string) (float64, error) {
	var report struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
		Error string
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		return 0, fmt.Errorf("iperf3: %w", err)
	}
	if report.Error != "" || report.End.Received.Rate == 0 {
		return 0, fmt.Errorf("iperf3: no rate: %s", report.Error)
	}
	return report.End.Received.Rate / 1e9, nil
}

// idleTest measures what the router uses while there is nothing to forward.
func idleTest(_ context.Context, o *options, t *trial) (float64, error) {
	if t.process == nil {
		return 0, nil // the kernel's routing has no thread
	}
	time.Sleep(500 * time.Millisecond)
	before, began := cpuOf(t.process), time.Now()
	time.Sleep(max(o.lasts, 3*time.Second))
	used := cpuOf(t.process).since(before)
	return 100 * used.Seconds() / time.Since(began).Seconds(), nil
}
