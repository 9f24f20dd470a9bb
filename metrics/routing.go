package metrics

import (
	"net/netip"
	"strings"

	"vrouter/bgp"
	"vrouter/router"
)

var (
	bfdStates   = []string{"AdminDown", "Down", "Init", "Up"} // RFC 5880 6.2
	bgpStates   = []string{bgp.StateIdle, bgp.StateConnect, bgp.StateActive, bgp.StateOpenSent, bgp.StateOpenConfirm, bgp.StateEstablished}
	checkStates = []string{"unknown", "down", "up"}
)

// session makes a metric with one series for each BFD session.
func session(name string, k kind, help string, value func(s *router.BFDSession) sample) metric {
	return metric{name, k, []string{"peer"}, help, func(s *Status, emit emit) {
		for i := range s.BFD {
			emit(value(&s.BFD[i]), s.BFD[i].Peer)
		}
	}}
}

// neighbor makes a metric with one series for each BGP neighbour.
func neighbor(name string, k kind, help string, value func(n *bgp.Session) sample) metric {
	return metric{name, k, []string{"neighbor"}, help, func(s *Status, emit emit) {
		for i := range s.BGP {
			emit(value(&s.BGP[i]), s.BGP[i].Name)
		}
	}}
}

// prefixes makes a metric with a series for each family of a BGP neighbour.
func prefixes(name, help string, value func(f *bgp.Family) uint64) metric {
	return metric{name, gauge, []string{"neighbor", "family"}, help, func(s *Status, emit emit) {
		for i := range s.BGP {
			for j := range s.BGP[i].Families {
				f := &s.BGP[i].Families[j]
				emit(number(value(f)), s.BGP[i].Name, f.Name)
			}
		}
	}}
}

// check makes a metric with one series for each health check.
func check(name string, k kind, help string, value func(c *router.CheckStatus) sample) metric {
	return metric{name, k, []string{"check"}, help, func(s *Status, emit emit) {
		for i := range s.Checks {
			emit(value(&s.Checks[i]), s.Checks[i].Name)
		}
	}}
}

// address writes an address, and an unknown one as nothing.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

var routingTable = []metric{
	{
		"vrouter_routes", gauge,
		[]string{"family", "source"},
		"Routes in use, by family and source.",
		func(s *Status, emit emit) {
			for _, r := range s.Routes {
				emit(number(r.Routes), r.Family, r.Source)
			}
		},
	},
	{
		"vrouter_neighbors", gauge,
		[]string{"interface", "state"},
		"Entries of the neighbour cache, by interface and state; states without entries have no series.",
		func(s *Status, emit emit) {
			for _, n := range s.Neighbors {
				emit(number(n.Neighbors), n.Interface, n.State)
			}
		},
	},
	{
		"vrouter_bfd_session_info", gauge,
		[]string{"peer", "interface", "names"},
		"What a BFD session is for; always 1.",
		func(s *Status, emit emit) {
			for i := range s.BFD {
				emit(yes(true), s.BFD[i].Peer, s.BFD[i].Interface, strings.Join(s.BFD[i].Names, ","))
			}
		},
	},
	{
		"vrouter_bfd_session_state", gauge,
		[]string{"peer", "state"},
		"1 for the state that a BFD session is in, 0 for the others.",
		func(s *Status, emit emit) {
			for i := range s.BFD {
				oneOf(emit, bfdStates, s.BFD[i].State, s.BFD[i].Peer)
			}
		},
	},
	session("vrouter_bfd_session_failed", gauge, "1 where it was Up and is not any more: routes through the neighbour are out of use.",
		func(s *router.BFDSession) sample { return yes(s.Failed) }),
	session("vrouter_bfd_session_transitions_total", counter, "Changes of state.",
		func(s *router.BFDSession) sample { return number(s.Transitions) }),
	session("vrouter_bfd_session_packets_sent_total", counter, "BFD packets sent.",
		func(s *router.BFDSession) sample { return number(s.PacketsSent) }),
	session("vrouter_bfd_session_packets_received_total", counter, "BFD packets received.",
		func(s *router.BFDSession) sample { return number(s.PacketsReceived) }),
	session("vrouter_bfd_session_transmit_interval_seconds", gauge, "The interval of packets sent, as agreed; 0: the neighbour wants none.",
		func(s *router.BFDSession) sample { return seconds(s.TransmitMS) }),
	session("vrouter_bfd_session_detection_time_seconds", gauge, "After this long a silence the neighbour is down; 0: not known yet.",
		func(s *router.BFDSession) sample { return seconds(s.DetectionMS) }),
	{
		"vrouter_bgp_neighbor_info", gauge,
		[]string{"neighbor", "address", "asn", "interface", "router_id", "announces_as"},
		"What a BGP neighbour is, and which mastership it is told; always 1.",
		func(s *Status, emit emit) {
			for i := range s.BGP {
				n := &s.BGP[i]
				emit(yes(true), n.Name, address(n.Address), text(n.ASN), n.Interface, address(n.RouterID), n.Announces)
			}
		},
	},
	{
		"vrouter_bgp_neighbor_state", gauge,
		[]string{"neighbor", "state"},
		"1 for the state that the session is in (RFC 4271 8.2.2), 0 for the others.",
		func(s *Status, emit emit) {
			for i := range s.BGP {
				oneOf(emit, bgpStates, s.BGP[i].State, s.BGP[i].Name)
			}
		},
	},
	neighbor("vrouter_bgp_neighbor_established_total", counter, "Times that the session came up.",
		func(n *bgp.Session) sample { return number(n.Established) }),
	neighbor("vrouter_bgp_neighbor_end_of_rib", gauge, "1 where it has announced all that it had when the session came up.",
		func(n *bgp.Session) sample { return yes(n.EndOfRIB) }),
	neighbor("vrouter_bgp_neighbor_stale", gauge, "1 while it restarts and its routes stay (RFC 4724).",
		func(n *bgp.Session) sample { return yes(n.Stale) }),
	neighbor("vrouter_bgp_neighbor_hold_time_seconds", gauge, "The hold time as negotiated; 0: no session.",
		func(n *bgp.Session) sample { return seconds(n.HoldTimeMS) }),
	{
		"vrouter_bgp_neighbor_since_timestamp_seconds", gauge,
		[]string{"neighbor"},
		"Since when the session is Established; else of the last one that was. Since the epoch; no series before the first.",
		func(s *Status, emit emit) {
			for i := range s.BGP {
				if n := &s.BGP[i]; !n.Since.IsZero() {
					emit(timestamp(n.Since), n.Name)
				}
			}
		},
	},
	prefixes("vrouter_bgp_neighbor_prefixes_received", "Prefixes that the neighbour announces.",
		func(f *bgp.Family) uint64 { return f.Received }),
	prefixes("vrouter_bgp_neighbor_prefixes_accepted", "Of these, those that the import policy has let in.",
		func(f *bgp.Family) uint64 { return f.Accepted }),
	prefixes("vrouter_bgp_neighbor_prefixes_rejected", "Of these, the others.",
		func(f *bgp.Family) uint64 { return f.Rejected }),
	prefixes("vrouter_bgp_neighbor_prefixes_advertised", "Prefixes announced to the neighbour.",
		func(f *bgp.Family) uint64 { return f.Advertised }),
	{
		"vrouter_check_info", gauge,
		[]string{"check", "kind", "target"},
		"What a health check does; always 1.",
		func(s *Status, emit emit) {
			for i := range s.Checks {
				emit(yes(true), s.Checks[i].Name, s.Checks[i].Kind, s.Checks[i].Target)
			}
		},
	},
	{
		"vrouter_check_state", gauge,
		[]string{"check", "state"},
		"1 for the state that a health check is in, 0 for the others.",
		func(s *Status, emit emit) {
			for i := range s.Checks {
				oneOf(emit, checkStates, s.Checks[i].State, s.Checks[i].Name)
			}
		},
	},
	check("vrouter_check_last_success", gauge, "1 where the last result was a success.",
		func(c *router.CheckStatus) sample { return yes(c.OK) }),
	check("vrouter_check_consecutive_results", gauge, "Results like the last one in a row.",
		func(c *router.CheckStatus) sample { return number(c.Consecutive) }),
}
