package metrics

import (
	"maps"
	"slices"
	"strings"

	"vrouter/router"
	"vrouter/vrrp"
)

// vrrpStates are the states in the order of RFC 9568 6.4.
var vrrpStates = []string{vrrp.Initialize.String(), vrrp.Backup.String(), vrrp.Master.String()}

const virtualLabel = "virtual_router"

// virtual makes a metric with one series for each virtual router.
func virtual(name string, k kind, help string, value func(v *router.VirtualRouterStatus) sample) metric {
	return metric{name, k, []string{virtualLabel}, help, func(s *Status, emit emit) {
		for i := range s.VirtualRouters {
			v := &s.VirtualRouters[i]
			emit(value(v), v.Name)
		}
	}}
}

// virtualCounter is one of the named counters of a virtual router.
func virtualCounter(name, help, key string) metric {
	return virtual(name, counter, help, func(v *router.VirtualRouterStatus) sample { return number(v.Counters[key]) })
}

// vrrpCounters are the counters of a virtual router that have a metric of their
// own, by their names in "show vrrp --json".
var vrrpCounters = []struct{ key, name, help string }{
	{"advertisements_sent", "vrouter_vrrp_advertisements_sent_total", "Advertisements sent."},
	{"advertisements_received", "vrouter_vrrp_advertisements_received_total", "Advertisements received and accepted."},
	{"advertisements_asserted", "vrouter_vrrp_advertisements_asserted_total", "Advertisements sent at once because a received one called for it."},
	{"priority_zero_sent", "vrouter_vrrp_priority_zero_sent_total", "Advertisements of priority 0 sent: hand-overs."},
	{"priority_zero_received", "vrouter_vrrp_priority_zero_received_total", "Advertisements of priority 0 received: masters that gave up."},
	{"announcements", "vrouter_vrrp_announcements_total", "Times that gratuitous ARPs or unsolicited neighbour advertisements were sent for the addresses."},
	{"became_master", "vrouter_vrrp_became_master_total", "Times that this router became Master."},
	{"resumed", "vrouter_vrrp_resumed_total", "Times that it began to listen anew after the process had stood still."},
	{"address_mismatch", "vrouter_vrrp_address_mismatches_total", "Advertisements that list other addresses than the configuration; they count as received."},
}

const (
	discardedPrefix = "discarded_"
	floodPrefix     = "flood_"
)

var vrrpTable = slices.Concat([]metric{
	{
		"vrouter_vrrp_info", gauge,
		[]string{virtualLabel, "interface", "vrid", "family", "version", "group"},
		"What a virtual router is; always 1.",
		func(s *Status, emit emit) {
			for i := range s.VirtualRouters {
				v, group := &s.VirtualRouters[i], ""
				if v.Group != nil {
					group = v.Group.Name
				}
				emit(yes(true), v.Name, v.Interface, text(v.VRID), v.Family, text(v.Version), group)
			}
		},
	},
	{
		"vrouter_vrrp_state", gauge,
		[]string{virtualLabel, "state"},
		"1 for the state that a virtual router is in, 0 for the others.",
		func(s *Status, emit emit) {
			for i := range s.VirtualRouters {
				oneOf(emit, vrrpStates, s.VirtualRouters[i].State.String(), s.VirtualRouters[i].Name)
			}
		},
	},
	{
		"vrouter_vrrp_state_since_timestamp_seconds", gauge,
		[]string{virtualLabel},
		"When the state began, since the epoch; no series before the first change.",
		func(s *Status, emit emit) {
			for i := range s.VirtualRouters {
				if v := &s.VirtualRouters[i]; !v.Since.IsZero() {
					emit(timestamp(v.Since), v.Name)
				}
			}
		},
	},
	virtual("vrouter_vrrp_priority", gauge, "The configured priority.",
		func(v *router.VirtualRouterStatus) sample { return number(v.Priority) }),
	virtual("vrouter_vrrp_effective_priority", gauge, "The priority that counts now, after the tracks.",
		func(v *router.VirtualRouterStatus) sample { return number(v.EffectivePriority) }),
	virtual("vrouter_vrrp_master_priority", gauge, "The priority of the Master that is known; 0: none is.",
		func(v *router.VirtualRouterStatus) sample { return number(v.Master.Priority) }),
	virtual("vrouter_vrrp_forwarding", gauge, "1 while the virtual MAC is served.",
		func(v *router.VirtualRouterStatus) sample { return yes(v.Forwarding) }),
	virtual("vrouter_vrrp_preempt", gauge, "1 where a lesser Master is preempted.",
		func(v *router.VirtualRouterStatus) sample { return yes(v.Preempt) }),
	virtual("vrouter_vrrp_transitions_total", counter, "Changes of state.",
		func(v *router.VirtualRouterStatus) sample { return number(v.Transitions) }),
	virtual("vrouter_vrrp_contested", gauge, "1 while another router claims the virtual router, too: the screen of show vrrp NAME says who and why.",
		func(v *router.VirtualRouterStatus) sample { return yes(v.Contested != nil) }),
	virtual("vrouter_vrrp_holding", gauge, "1 while a lesser Master is not preempted because this router is not ready.",
		func(v *router.VirtualRouterStatus) sample { return yes(v.Holding != nil) }),
	virtual("vrouter_vrrp_damped", gauge, "1 while damping holds back takeovers.",
		func(v *router.VirtualRouterStatus) sample { return yes(v.DampedUntil != nil) }),
	virtual("vrouter_vrrp_other_addresses", gauge, "1 where the last advertisement lists other addresses than the configuration.",
		func(v *router.VirtualRouterStatus) sample { return yes(len(v.PeerAddresses) > 0) }),
	virtual("vrouter_vrrp_advertisement_interval_seconds", gauge, "The configured interval of advertisements.",
		func(v *router.VirtualRouterStatus) sample { return seconds(v.AdvertisementIntervalMS) }),
	virtual("vrouter_vrrp_master_down_interval_seconds", gauge, "How long a Backup waits for a silent Master.",
		func(v *router.VirtualRouterStatus) sample { return seconds(v.MasterDownIntervalMS) }),
	virtual("vrouter_vrrp_skew_time_seconds", gauge, "How long a Backup waits for a Master that gave up.",
		func(v *router.VirtualRouterStatus) sample { return seconds(v.SkewTimeMS) }),
	term("vrouter_vrrp_term_up", "1 while something that the priority depends on is up.",
		func(t *router.TermStatus) sample { return yes(t.Up) }),
	term("vrouter_vrrp_term_known", "0 while there is no verdict yet; it counts as up.",
		func(t *router.TermStatus) sample { return yes(t.Known) }),
	term("vrouter_vrrp_term_weight", "What is taken off the priority while it is down; 0: the virtual router is down then.",
		func(t *router.TermStatus) sample { return number(t.Weight) }),
	term("vrouter_vrrp_term_effect", "What it does to the priority now: 0, or less.",
		func(t *router.TermStatus) sample { return number(t.Effect) }),
	{
		"vrouter_vrrp_advertisements_discarded_total", counter,
		[]string{virtualLabel, "reason"},
		"Advertisements for a virtual router that were discarded, by reason; those for unknown ones are among vrouter_control_discarded_frames_total.",
		func(s *Status, emit emit) { prefixed(s, emit, discardedPrefix) },
	},
	{
		"vrouter_vrrp_flood_total", counter,
		[]string{virtualLabel, "event"},
		"What a Backup did with packets that a switch flooded (fast_detect), by event.",
		func(s *Status, emit emit) { prefixed(s, emit, floodPrefix) },
	},
	{
		"vrouter_vrrp_other_total", counter,
		[]string{virtualLabel, "counter"},
		"Counters of a virtual router that have no metric of their own.",
		func(s *Status, emit emit) {
			for i := range s.VirtualRouters {
				v := &s.VirtualRouters[i]
				for _, key := range slices.Sorted(maps.Keys(v.Counters)) {
					if !named(key) {
						emit(number(v.Counters[key]), v.Name, key)
					}
				}
			}
		},
	},
}, ownVRRPCounters())

func ownVRRPCounters() []metric {
	list := make([]metric, 0, len(vrrpCounters))
	for _, c := range vrrpCounters {
		list = append(list, virtualCounter(c.name, c.help, c.key))
	}
	return list
}

// named reports whether a counter of a virtual router has another metric.
func named(key string) bool {
	if strings.HasPrefix(key, discardedPrefix) || strings.HasPrefix(key, floodPrefix) {
		return true
	}
	for _, c := range vrrpCounters {
		if c.key == key {
			return true
		}
	}
	return false
}

// prefixed emits the counters of virtual routers whose names have a prefix, with
// the rest of the name as label.
func prefixed(s *Status, emit emit, prefix string) {
	for i := range s.VirtualRouters {
		v := &s.VirtualRouters[i]
		for _, key := range slices.Sorted(maps.Keys(v.Counters)) {
			if rest, ok := strings.CutPrefix(key, prefix); ok {
				emit(number(v.Counters[key]), v.Name, rest)
			}
		}
	}
}

// term makes a metric of what a priority depends on.
func term(name, help string, value func(t *router.TermStatus) sample) metric {
	return metric{name, gauge, []string{virtualLabel, "kind", "name"}, help, func(s *Status, emit emit) {
		for i := range s.VirtualRouters {
			v := &s.VirtualRouters[i]
			seen := map[[2]string]bool{}
			for j := range v.Terms {
				t := &v.Terms[j]
				if key := [2]string{t.Kind, t.Name}; !seen[key] {
					seen[key] = true
					emit(value(t), v.Name, t.Kind, t.Name)
				}
			}
		}
	}}
}
