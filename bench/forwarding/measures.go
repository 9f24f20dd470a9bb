package main

import "fmt"

// measure is a figure that each round brings.
type measure struct {
	id    string
	title string
	unit  string
	scale float64 // of the unit
	less  bool    // is better
	only  bool    // as it is: a ratio to the kernel says nothing
	// bare: CPU time from which that of the bare cable, in the same round, is
	// to be taken off.
	bare bool
	// goals of vrouter, by the kind's name: of the ratio, or where there is none of
	// the figure. At least so much, or where less is better at most.
	goals map[string]float64
}

const (
	packetPort = "vrouter-af_packet"
	xdpPort    = "vrouter-af_xdp"
	tapPort    = "vrouter-tap"
)

var measures = []*measure{
	{
		id: "pps1", title: "Packets a second, 64 bytes, one flow", unit: "kpps", scale: 1e3,
		goals: map[string]float64{packetPort: 0.7, xdpPort: 1.05},
	},
	{
		id: "pps10k", title: "Packets a second, 64 bytes, 10,000 flows", unit: "kpps", scale: 1e3,
		goals: map[string]float64{packetPort: 0.7, xdpPort: 1.05},
	},
	{
		id: "ndr", title: "Rate with at most 0.1 % loss", unit: "kpps", scale: 1e3,
		goals: map[string]float64{packetPort: 0.7, xdpPort: 1},
	},
	{
		id: "tcp1", title: "TCP, one stream", unit: "Gbit/s", scale: 1e9,
		goals: map[string]float64{packetPort: 0.9, tapPort: 0.9},
	},
	{
		id: "tcp4", title: "TCP, four streams", unit: "Gbit/s", scale: 1e9,
		goals: map[string]float64{packetPort: 0.9, tapPort: 0.9},
	},
	{
		id: "p50", title: "Round trip at 1,000 packets a second, median", unit: "us", scale: 1, less: true, only: true,
		goals: map[string]float64{packetPort: 25, xdpPort: 25, tapPort: 40},
	},
	{id: "p99", title: "Round trip at 1,000 packets a second, 99th percentile", unit: "us", scale: 1, less: true, only: true},
	{
		id: "cost", title: "CPU time of a packet under load", unit: "ns", scale: 1, less: true, bare: true,
		goals: map[string]float64{packetPort: 2.5, xdpPort: 1.25},
	},
	{id: "slow", title: "CPU time of a packet at 10,000 packets a second", unit: "ns", scale: 1, less: true, bare: true},
	{
		id: "idle", title: "CPU time while nothing happens", unit: "% of a CPU", scale: 1, less: true, only: true,
		goals: map[string]float64{packetPort: 1, xdpPort: 1, tapPort: 1},
	},
	{id: "softirq", title: "Softirqs of the machine under load, beyond those while idle", unit: "% of a CPU", scale: 1, less: true, only: true},
}

// goal writes what a router is to reach; "" where there is no goal.
func (m *measure) goal(kind string) string {
	v, found := m.goals[kind]
	if !found {
		return ""
	}
	sign := ">="
	if m.less {
		sign = "<="
	}
	return fmt.Sprintf("%s %g", sign, v)
}

// reached reports whether a row reaches its goal.
func (m *measure) reached(r row) bool {
	goal, value := m.goals[r.kind.name], r.ratio
	if m.only {
		value = r.value
	}
	if m.less {
		return value <= goal
	}
	return value >= goal
}
