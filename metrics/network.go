package metrics

import (
	"maps"
	"slices"
	"strings"
	"time"

	"vrouter/router"
)

// timestamp is a moment, in seconds since the epoch.
func timestamp(t time.Time) sample { return sample{value: float64(t.UnixMilli()) / 1e3} }

// onInterface makes a metric with one series for each interface.
func onInterface(name string, k kind, help string, value func(f *router.InterfaceStatus) sample) metric {
	return metric{name, k, []string{"interface"}, help, func(s *Status, emit emit) {
		for i := range s.Interfaces {
			emit(value(&s.Interfaces[i]), s.Interfaces[i].Name)
		}
	}}
}

// directions of a host TAP, in the words of "show interfaces".
const toHost, fromHost = "to_host", "from_host"

// onTAP makes a metric of the host TAPs with a series for each direction.
func onTAP(name, help string, value func(t *router.TrafficStatus) uint64) metric {
	return metric{name, counter, []string{"interface", "direction"}, help, func(s *Status, emit emit) {
		for i := range s.Interfaces {
			if t := s.Interfaces[i].HostTAP; t != nil {
				emit(number(value(&t.ToHost)), s.Interfaces[i].Name, toHost)
				emit(number(value(&t.FromHost)), s.Interfaces[i].Name, fromHost)
			}
		}
	}}
}

var interfaceTable = []metric{
	{
		"vrouter_interface_info", gauge,
		[]string{"interface", "device", "attach", "mac"},
		"What an interface is; always 1.",
		func(s *Status, emit emit) {
			for i := range s.Interfaces {
				f := &s.Interfaces[i]
				emit(yes(true), f.Name, f.Device, f.Attach, f.MAC.String())
			}
		},
	},
	onInterface("vrouter_interface_up", gauge, "1 while the interface is up.",
		func(f *router.InterfaceStatus) sample { return yes(f.Up) }),
	onInterface("vrouter_interface_mtu_bytes", gauge, "The interface's MTU.",
		func(f *router.InterfaceStatus) sample { return number(f.MTU) }),
	onInterface("vrouter_interface_receive_packets_total", counter, "Frames received.",
		func(f *router.InterfaceStatus) sample { return number(f.RX.Packets) }),
	onInterface("vrouter_interface_receive_bytes_total", counter, "Bytes received, from the destination MAC on.",
		func(f *router.InterfaceStatus) sample { return number(f.RX.Bytes) }),
	onInterface("vrouter_interface_receive_dropped_packets_total", counter, "Frames that were lost before a worker read them.",
		func(f *router.InterfaceStatus) sample { return number(f.RX.Dropped) }),
	onInterface("vrouter_interface_transmit_packets_total", counter, "Frames sent.",
		func(f *router.InterfaceStatus) sample { return number(f.TX.Packets) }),
	onInterface("vrouter_interface_transmit_bytes_total", counter, "Bytes sent, from the destination MAC on.",
		func(f *router.InterfaceStatus) sample { return number(f.TX.Bytes) }),
	onInterface("vrouter_interface_transmit_dropped_packets_total", counter, "Frames that the device did not take.",
		func(f *router.InterfaceStatus) sample { return number(f.TX.Dropped) }),
	{
		"vrouter_interface_router_advertisements_sent_total", counter,
		[]string{"interface"},
		"IPv6 router advertisements sent, where they are configured.",
		func(s *Status, emit emit) {
			for i := range s.Interfaces {
				if ra := s.Interfaces[i].RA; ra != nil {
					emit(number(ra.Sent), s.Interfaces[i].Name)
				}
			}
		},
	},
	{
		"vrouter_interface_host_tap_up", gauge,
		[]string{"interface"},
		"1 while the host TAP is up, where the interface has one.",
		func(s *Status, emit emit) {
			for i := range s.Interfaces {
				if t := s.Interfaces[i].HostTAP; t != nil {
					emit(yes(t.Up), s.Interfaces[i].Name)
				}
			}
		},
	},
	onTAP("vrouter_interface_host_tap_packets_total", "Packets on the host TAP, by direction.",
		func(t *router.TrafficStatus) uint64 { return t.Packets }),
	onTAP("vrouter_interface_host_tap_bytes_total", "Bytes on the host TAP, by direction.",
		func(t *router.TrafficStatus) uint64 { return t.Bytes }),
	onTAP("vrouter_interface_host_tap_dropped_packets_total", "Packets that did not pass the host TAP, by direction.",
		func(t *router.TrafficStatus) uint64 { return t.Dropped }),
}

// byName emits the numbers of a map in the order of their names.
func byName(emit emit, m map[string]uint64, labels ...string) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		emit(number(m[name]), append(slices.Clone(labels), name)...)
	}
}

// coalesced is the one entry of Counters.Forwarding that is nothing cut.
const coalesced = "coalesced"

// punts emits what became of punted frames, by class.
func punts(emit emit, m map[string]router.PuntStatus, labels ...string) {
	for _, class := range slices.Sorted(maps.Keys(m)) {
		emit(number(m[class].Accepted), append(slices.Clone(labels), class, "accepted")...)
		emit(number(m[class].Dropped), append(slices.Clone(labels), class, "dropped")...)
	}
}

var forwardingTable = []metric{
	{
		"vrouter_forwarding_dropped_frames_total", counter,
		[]string{"reason"},
		"Frames that were dropped, by reason.",
		func(s *Status, emit emit) { byName(emit, s.Counters.Drops) },
	},
	{
		"vrouter_forwarding_punted_frames_total", counter,
		[]string{"class", "result"},
		"Frames handed from the workers to the control plane or the local stack, by class: accepted, or dropped because of the class's rate limit or full queue.",
		func(s *Status, emit emit) { punts(emit, s.Counters.Punts) },
	},
	{
		"vrouter_forwarding_cut_packets_total", counter,
		[]string{"how"},
		"Packets that had to be cut: fragmented, or segmented where the egress has no GSO.",
		func(s *Status, emit emit) {
			cut := maps.Clone(s.Counters.Forwarding)
			delete(cut, coalesced)
			byName(emit, cut)
		},
	},
	{
		"vrouter_forwarding_coalesced_frames_total", counter, nil,
		"GSO frames that were made of TCP segments.",
		func(s *Status, emit emit) { emit(number(s.Counters.Forwarding[coalesced])) },
	},
	{
		"vrouter_forwarding_icmp_errors_total", counter,
		[]string{"error", "result"},
		"ICMP errors: sent, or suppressed by the rate limit.",
		func(s *Status, emit emit) {
			for _, name := range slices.Sorted(maps.Keys(s.Counters.ICMP)) {
				e, result := name, "other"
				if i := strings.LastIndexByte(name, '_'); i >= 0 {
					e, result = name[:i], name[i+1:]
				}
				emit(number(s.Counters.ICMP[name]), e, result)
			}
		},
	},
	{
		"vrouter_timer_lateness_seconds", histogram,
		[]string{"timer"},
		"How late timers were served: of control_loop_late those of VRRP and everything else of the control plane.",
		func(s *Status, emit emit) {
			for _, name := range slices.Sorted(maps.Keys(s.Counters.Timers)) {
				h := s.Counters.Timers[name]
				emit(distribution(h.UpToUS, h.Counts, float64(h.SumUS)/1e6, 1e6), name)
			}
		},
	},
	{
		"vrouter_timer_lateness_max_seconds", gauge,
		[]string{"timer"},
		"The latest that a timer was served since the start.",
		func(s *Status, emit emit) {
			for _, name := range slices.Sorted(maps.Keys(s.Counters.Timers)) {
				emit(sample{value: float64(s.Counters.Timers[name].MaxUS) / 1e6}, name)
			}
		},
	},
}

// onWorker makes a metric with one series for each forwarding thread.
func onWorker(name string, k kind, help string, value func(w *router.WorkerStatus) sample) metric {
	return metric{name, k, []string{"worker"}, help, func(s *Status, emit emit) {
		for i := range s.Counters.Workers {
			emit(value(&s.Counters.Workers[i]), text(s.Counters.Workers[i].Worker))
		}
	}}
}

// inWorker makes a counter of each worker with one more label.
func inWorker(name, label, help string, values func(w *router.WorkerStatus) map[string]uint64) metric {
	return metric{name, counter, []string{"worker", label}, help, func(s *Status, emit emit) {
		for i := range s.Counters.Workers {
			w := &s.Counters.Workers[i]
			byName(emit, values(w), text(w.Worker))
		}
	}}
}

var workerTable = []metric{
	onWorker("vrouter_worker_busy_ratio", gauge, "The share of the last second or two in which a forwarding thread worked.",
		func(w *router.WorkerStatus) sample { return sample{value: w.Busy / 100} }),
	onWorker("vrouter_worker_busy_seconds_total", counter, "Time in which it worked.",
		func(w *router.WorkerStatus) sample { return sample{value: float64(w.BusyNS) / 1e9} }),
	onWorker("vrouter_worker_running_seconds_total", counter, "Time since it was started: the rate of busy seconds over the rate of these is the load.",
		func(w *router.WorkerStatus) sample { return sample{value: float64(w.UptimeNS) / 1e9} }),
	onWorker("vrouter_worker_read_frames_total", counter, "Frames that it has read.",
		func(w *router.WorkerStatus) sample { return number(w.Frames) }),
	onWorker("vrouter_worker_forwarded_packets_total", counter, "Packets that it has forwarded.",
		func(w *router.WorkerStatus) sample { return number(w.Forwarded) }),
	onWorker("vrouter_worker_batches_total", counter, "Batches of frames that it has read.",
		func(w *router.WorkerStatus) sample { return number(w.Batches) }),
	onWorker("vrouter_worker_batch_frames", histogram, "The sizes of batches: large ones mean more to do than frame by frame.",
		func(w *router.WorkerStatus) sample {
			return distribution(w.BatchSizes.UpTo, w.BatchSizes.Counts, float64(w.Frames), 1)
		}),
	{
		"vrouter_worker_punted_frames_total", counter,
		[]string{"worker", "class", "result"},
		"Frames that it has handed to the control plane, by class, where there were any.",
		func(s *Status, emit emit) {
			for i := range s.Counters.Workers {
				punts(emit, s.Counters.Workers[i].Punts, text(s.Counters.Workers[i].Worker))
			}
		},
	},
	inWorker("vrouter_worker_dropped_frames_total", "reason", "Frames that it has dropped, by reason, where there were any.",
		func(w *router.WorkerStatus) map[string]uint64 { return w.Drops }),
	inWorker("vrouter_worker_lost_frames_total", "direction", "Frames that its ports lost: receiving, most of them because it did not read fast enough, or sending.",
		func(w *router.WorkerStatus) map[string]uint64 {
			return map[string]uint64{"receiving": w.Lost.Receiving, "sending": w.Lost.Sending}
		}),
	inWorker("vrouter_worker_cut_packets_total", "how", "Packets that it had to cut: fragmented or segmented.",
		func(w *router.WorkerStatus) map[string]uint64 {
			return map[string]uint64{"fragmented": w.Fragmented, "segmented": w.Segmented}
		}),
	onWorker("vrouter_worker_coalesced_frames_total", counter, "GSO frames that it has made of TCP segments.",
		func(w *router.WorkerStatus) sample { return number(w.Coalesced) }),
}
