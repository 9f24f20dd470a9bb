package metrics

import (
	"maps"
	"slices"
	"strings"
)

// A counter of the control plane ("show counters": control) becomes a series of
// one of these metrics: the first whose prefix or name it has.
var controlRules = []struct {
	key    string // the counter's name; with a * at the end its beginning
	metric string
	labels []string // "*" is the rest of the counter's name
}{
	{"flood_questions", "vrouter_vrrp_flood_questions_total", nil},
	{"flood_*", "", nil}, // the sums of vrouter_vrrp_flood_total
	{"vrrp_*", discardedFrames, []string{"vrrp", "*"}},
	{"arp_*", discardedFrames, []string{"arp", "*"}},
	{"nd_*", discardedFrames, []string{"nd", "*"}},
	{"bfd_*", discardedFrames, []string{"bfd", "*"}},
	{"malformed", discardedFrames, []string{"any", "malformed"}},
	{"spoofed_address", discardedFrames, []string{"any", "spoofed_address"}},
	{"interface_down", discardedFrames, []string{"any", "interface_down"}},
	{"neighbor_*", "vrouter_neighbor_events_total", []string{"*"}},
	{"import_*", "vrouter_import_events_total", []string{"*"}},
	{"bgp_refused_*", "vrouter_bgp_refused_routes_total", []string{"*"}},
	{"bgp_routes_spare", "vrouter_bgp_spare_routes", nil},
	{"bgp_routes", "vrouter_bgp_routes", nil},
	{"hooks_*", "vrouter_hooks_total", []string{"*"}},
	{"host_tap_refused", "vrouter_host_tap_refused_packets_total", nil},
	{"events_not_logged", "vrouter_events_not_logged_total", nil},
	{"longest_turn_us", "vrouter_control_longest_turn_seconds", nil},
	{"*", otherCounters, []string{"*"}},
}

const (
	discardedFrames = "vrouter_control_discarded_frames_total"
	otherCounters   = "vrouter_control_other_total"
)

// rule returns the metric and labels of a counter of the control plane; no
// metric: another one tells the same.
func rule(name string) (metric string, labels []string) {
	for _, r := range controlRules {
		prefix, open := strings.CutSuffix(r.key, "*")
		rest, has := strings.CutPrefix(name, prefix)
		if !has || (!open && rest != "") {
			continue
		}
		labels = slices.Clone(r.labels)
		for i, l := range labels {
			if l == "*" {
				labels[i] = rest
			}
		}
		return r.metric, labels
	}
	return otherCounters, []string{name} // the last rule takes all: not reached
}

// control makes a metric of the counters of the control plane whose rule names it.
func control(name string, k kind, labels []string, help string) metric {
	return metric{name, k, labels, help, func(s *Status, emit emit) {
		for _, key := range slices.Sorted(maps.Keys(s.Counters.Control)) {
			metric, labels := rule(key)
			if metric != name {
				continue
			}
			v := number(s.Counters.Control[key])
			if strings.HasSuffix(key, "_us") {
				v.value /= 1e6
			}
			emit(v, labels...)
		}
	}}
}

var controlTable = []metric{
	control(discardedFrames, counter, []string{"protocol", "reason"},
		"Control frames that were discarded, by protocol and reason."),
	control("vrouter_control_longest_turn_seconds", gauge, nil,
		"The longest that one turn of the control loop has taken since the start."),
	control("vrouter_vrrp_flood_questions_total", counter, nil,
		"Questions to a Master whether it lives, because its packets were flooded."),
	control("vrouter_hooks_total", counter, []string{"result"},
		"Programs of [[notify]]: run, failed (of those), dropped because too many waited."),
	control("vrouter_events_not_logged_total", counter, nil,
		"Events that the log did not take in time."),
	control("vrouter_host_tap_refused_packets_total", counter, nil,
		"Packets of the host that were refused on host TAPs: multicast and what is not IP."),
	control("vrouter_neighbor_events_total", counter, []string{"event"},
		"What happened to entries of the neighbour cache."),
	control("vrouter_import_events_total", counter, []string{"event"},
		"What came of following the host's kernel ([import])."),
	control("vrouter_bgp_routes", gauge, nil,
		"Prefixes learned by BGP."),
	control("vrouter_bgp_spare_routes", gauge, nil,
		"Prefixes that BGP knows a second way for."),
	control("vrouter_bgp_refused_routes_total", counter, []string{"reason"},
		"Routes of BGP that were not taken, by reason."),
	control(otherCounters, counter, []string{"counter"},
		"Counters of the control plane that have no metric of their own."),
}
