package metrics

import (
	"slices"
	"strconv"
)

// table is every metric. A name says what, and the unit last: base units, _total
// for counters (https://prometheus.io/docs/practices/naming/).
var table = slices.Concat(processTable, vrrpTable, interfaceTable, forwardingTable, workerTable, controlTable, routingTable)

var processTable = []metric{
	{
		"vrouter_build_info", gauge,
		[]string{"version", "revision", "goversion"},
		"Which program this is; always 1.",
		func(s *Status, emit emit) {
			emit(yes(true), s.Build.Version, s.Build.Revision, s.Build.GoVersion)
		},
	},
	{
		"vrouter_router_info", gauge,
		[]string{"router"},
		"The name of the router; always 1.",
		func(s *Status, emit emit) { emit(yes(true), s.Router) },
	},
	{
		"vrouter_guardian_restarts_total", counter, nil,
		"Times that the guardian has started the router process anew.",
		func(s *Status, emit emit) { emit(number(s.Restarts)) },
	},
}

// seconds converts from milliseconds.
func seconds[N ~int64 | ~float64](ms N) sample { return sample{value: float64(ms) / 1e3} }

// oneOf emits 1 for the state that is, and 0 for each other.
func oneOf(emit emit, states []string, is string, labels ...string) {
	known := false
	for _, state := range states {
		known = known || state == is
		emit(yes(state == is), append(slices.Clone(labels), state)...)
	}
	if !known && is != "" { // of a neighbour's program that is newer
		emit(yes(true), append(slices.Clone(labels), is)...)
	}
}

func text[N ~int | ~uint8 | ~uint32](n N) string { return strconv.FormatUint(uint64(n), 10) }
