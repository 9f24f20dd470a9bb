// Package controltest is a control.Backend for tests, with data as of a
// gateway in use.
package controltest

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"vrouter/bgp"
	"vrouter/control"
	"vrouter/packet"
	"vrouter/router"
	"vrouter/vrrp"
)

// Now is the moment at which the data of New was taken.
var Now = time.Date(2026, time.March, 14, 9, 26, 53, 589_000_000, time.UTC)

// Fake is a backend that answers from its fields, which a test sets before
// the server starts.
type Fake struct {
	VirtualRouters []router.VirtualRouterStatus
	InterfaceList  []router.InterfaceStatus
	RouteList      []router.RouteStatus
	NeighborList   []router.NeighborStatus
	CounterValues  router.CountersStatus
	CheckList      []router.CheckStatus
	BFDList        []router.BFDSession
	Sessions       []bgp.Session
	Paths          []bgp.Path
	Log            *control.EventLog
	Replies        []control.PingReply // of Ping; with Count 0 they repeat
	PingError      error               // returned by Ping behind its replies
	Err            error               // if not nil, what every other method returns
	Hang           bool                // every method waits for the end of its context
	Alone          bool                // no other router takes over what is drained

	mu      sync.Mutex
	calls   []string
	drained bool
}

var (
	_ control.Backend  = (*Fake)(nil)
	_ control.Reloader = (*Fake)(nil)
	_ control.Drainer  = (*Fake)(nil)
)

// Calls returns the actions that were asked for, such as "switchover lan4".
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

func (f *Fake) record(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

func (f *Fake) wait(ctx context.Context) error {
	if f.Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.Err
}

// VRRP implements control.Backend.
func (f *Fake) VRRP(ctx context.Context) ([]router.VirtualRouterStatus, error) {
	f.mu.Lock()
	list := slices.Clone(f.VirtualRouters)
	for i := range list {
		if f.drained && list[i].State == vrrp.Master {
			list[i].State, list[i].Forwarding = vrrp.Backup, false
		}
	}
	f.mu.Unlock()
	return list, f.wait(ctx)
}

// Checks implements control.Backend.
func (f *Fake) Checks(ctx context.Context) ([]router.CheckStatus, error) {
	return f.CheckList, f.wait(ctx)
}

// BFD implements control.Backend.
func (f *Fake) BFD(ctx context.Context) ([]router.BFDSession, error) {
	return f.BFDList, f.wait(ctx)
}

// BGP implements control.Backend.
func (f *Fake) BGP(ctx context.Context) ([]bgp.Session, error) { return f.Sessions, f.wait(ctx) }

// BGPPaths implements control.Backend.
func (f *Fake) BGPPaths(ctx context.Context, prefix netip.Prefix) ([]bgp.Path, error) {
	f.record("paths of " + prefix.String())
	return f.Paths, f.wait(ctx)
}

// Drain implements control.Drainer: a Master becomes Backup, unless Alone.
func (f *Fake) Drain(ctx context.Context, on bool) error {
	f.record(map[bool]string{true: "drain", false: "drain --end"}[on])
	f.mu.Lock()
	f.drained = on && !f.Alone
	f.mu.Unlock()
	return f.wait(ctx)
}

// Reload implements control.Reloader.
func (f *Fake) Reload(ctx context.Context) error {
	f.record("reload")
	return f.wait(ctx)
}

// Interfaces implements control.Backend.
func (f *Fake) Interfaces(ctx context.Context) ([]router.InterfaceStatus, error) {
	return f.InterfaceList, f.wait(ctx)
}

// Routes implements control.Backend.
func (f *Fake) Routes(ctx context.Context) ([]router.RouteStatus, error) {
	return f.RouteList, f.wait(ctx)
}

// Neighbors implements control.Backend.
func (f *Fake) Neighbors(ctx context.Context) ([]router.NeighborStatus, error) {
	return f.NeighborList, f.wait(ctx)
}

// Counters implements control.Backend.
func (f *Fake) Counters(ctx context.Context) (router.CountersStatus, error) {
	return f.CounterValues, f.wait(ctx)
}

// Events implements control.Backend.
func (f *Fake) Events(ctx context.Context, since uint64) ([]router.Event, <-chan struct{}, error) {
	events, more := f.Log.Since(since)
	return events, more, f.wait(ctx)
}

// Switchover implements control.Backend.
func (f *Fake) Switchover(ctx context.Context, name string) error {
	f.record("switchover " + name)
	return f.wait(ctx)
}

// Ping implements control.Backend.
func (f *Fake) Ping(ctx context.Context, request control.PingRequest, reply func(control.PingReply) error) error {
	f.record("ping " + request.Address.String())
	for n := 0; request.Count == 0 || n < request.Count; n++ {
		if len(f.Replies) == 0 || (request.Count > 0 && n == len(f.Replies)) {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r := f.Replies[n%len(f.Replies)]
		r.Sequence = uint64(n + 1)
		if err := reply(r); err != nil {
			return err
		}
	}
	return f.PingError
}

// Idle returns the backend of a router that has only just started, without
// anything to show.
func Idle() *Fake { return &Fake{Log: control.NewEventLog(8)} }

// New returns the backend of a gateway in use: master for IPv4 and IPv6 on
// its LAN, backup for a third virtual router, one interface down.
func New() *Fake {
	f := &Fake{
		VirtualRouters: virtualRouters(),
		InterfaceList:  interfaces(),
		RouteList:      routes(),
		NeighborList:   neighbors(),
		CounterValues:  counters(),
		CheckList:      checks(),
		BFDList:        bfdSessions(),
		Log:            control.NewEventLog(64),
		Replies: []control.PingReply{
			{From: netip.MustParseAddr("203.0.113.1"), Size: 64, TTL: 64, TimeUS: 312},
			{Error: "timeout"},
			{From: netip.MustParseAddr("203.0.113.1"), Size: 64, TTL: 64, TimeUS: 1488},
			{From: netip.MustParseAddr("203.0.113.1"), Size: 64, TTL: 64, TimeUS: 290},
		},
	}
	for _, e := range events() {
		f.Log.Append(e)
	}
	return f
}

func virtualRouters() []router.VirtualRouterStatus {
	lan4 := router.VirtualRouterStatus{
		Name: "lan4", Interface: "lan", VRID: 10, Family: "ipv4", Version: 3,
		State: vrrp.Master, Priority: 150, EffectivePriority: 150, Preempt: true, Accept: true,
		Addresses:               addrs("192.0.2.1"),
		VirtualMAC:              vrrp.VirtualMAC(10, false),
		AdvertisementIntervalMS: 1000, MasterDownIntervalMS: 3410, SkewTimeMS: 410,
		Master:     router.MasterStatus{Address: netip.MustParseAddr("192.0.2.2"), Priority: 150},
		Forwarding: true, Since: Now.Add(-3*time.Minute - 12*time.Second), Transitions: 2,
		LastReason: "master down timer",
		Counters: map[string]uint64{
			"advertisements_sent": 192, "advertisements_received": 4, "checksum_errors": 0, "bad_ttl": 1,
		},
	}
	lan4.Group = &router.GroupStatus{Name: "gw", Members: []string{"lan4", "lan6"}}
	lan4.Terms = []router.TermStatus{
		{Kind: "interface", Name: "wan", Up: true, Known: true, Reason: ""},
		{Kind: "route", Name: "0.0.0.0/0", Weight: 100, Up: true, Known: true},
		{Kind: "check", Name: "web", Weight: 20, Up: false, Known: false, Reason: "no result yet"},
	}
	lan4.WouldWin = router.WinnerStatus{Address: lan4.Master.Address, Priority: 150, Reason: "no other router is heard"}
	lan4.IfMasterDied = "it is this router: a Backup would take over after its skew time if vrouter says so, " +
		"after three intervals and its skew time if the machine is gone"
	lan6 := lan4
	lan6.Name, lan6.Family = "lan6", "ipv6"
	lan6.Addresses = addrs("fe80::1", "2001:db8:1::1")
	lan6.VirtualMAC = vrrp.VirtualMAC(10, true)
	lan6.Master.Address = netip.MustParseAddr("fe80::5eff:fe10:2")
	dmz := lan4
	dmz.Name, dmz.Interface, dmz.VRID = "dmz4", "dmz", 20
	dmz.State, dmz.Priority, dmz.EffectivePriority, dmz.Forwarding = vrrp.Backup, 100, 80, false
	dmz.Addresses = addrs("198.51.100.1", "198.51.100.129")
	dmz.VirtualMAC = vrrp.VirtualMAC(20, false)
	dmz.MasterDownIntervalMS, dmz.SkewTimeMS, dmz.AdvertisementIntervalMS = 36609, 609, 1000
	dmz.Master = router.MasterStatus{Address: netip.MustParseAddr("198.51.100.3"), Priority: 200}
	dmz.Since, dmz.Transitions = Now.Add(-26*time.Hour-5*time.Minute), 5
	dmz.Group = nil
	dmz.Terms = []router.TermStatus{
		{Kind: "check", Name: "dns", Weight: 20, Known: true, Effect: -20, Reason: "3 times: timeout after 500ms"},
	}
	dmz.Holding = &router.HoldingStatus{Reason: "next hop 203.0.113.1 of 0.0.0.0/0 is not resolved", Until: Now.Add(7 * time.Second)}
	dmz.WouldWin = router.WinnerStatus{Address: dmz.Master.Address, Priority: 200, Reason: "priority 200 is above 80"}
	dmz.IfMasterDied = "this router would take over with priority 80 after 36.609s, unless a better one that is silent now comes first"
	dmz.LastReason = "advertisement with priority 200 from 198.51.100.3"
	old := dmz
	old.Terms, old.Holding, old.EffectivePriority = nil, nil, 100
	old.Obstacle = "interface spare: device eth3 does not exist"
	old.WouldWin = router.WinnerStatus{Reason: "this router does not take part: " + old.Obstacle}
	old.IfMasterDied = "this router would not take over: " + old.Obstacle
	old.Name, old.Interface, old.VRID, old.Version = "old", "spare", 1, 2
	old.State, old.Master, old.Transitions, old.Since = vrrp.Initialize, router.MasterStatus{}, 0, time.Time{}
	old.Addresses, old.Counters, old.LastReason = addrs("203.0.113.129"), nil, "interface spare is down"
	old.VirtualMAC = vrrp.VirtualMAC(1, false)
	return []router.VirtualRouterStatus{lan4, lan6, dmz, old}
}

func checks() []router.CheckStatus {
	return []router.CheckStatus{
		{
			Name: "dns", Kind: "ping", Target: "203.0.113.1", State: "down", Since: Now.Add(-4 * time.Minute), Consecutive: 240,
			Last: Now.Add(-300 * time.Millisecond), Detail: "timeout after 500ms", Fall: 3, Rise: 2, IntervalMS: 1000, TimeoutMS: 500,
		},
		{
			Name: "web", Kind: "tcp", Target: "203.0.113.7:80", State: "unknown", OK: true, Consecutive: 1,
			Last: Now.Add(-20 * time.Millisecond), Detail: "813us", Fall: 3, Rise: 2, IntervalMS: 100, TimeoutMS: 100,
		},
		{
			Name: "disk", Kind: "exec", Target: "/usr/local/bin/check-disk", State: "up", Since: Now.Add(-26 * time.Hour), Consecutive: 1,
			Last: Now.Add(-9 * time.Second), Detail: "exit status 1: /var is full", Fall: 3, Rise: 2, IntervalMS: 10000, TimeoutMS: 5000,
		},
		{
			Name: "new", Kind: "exec", Target: "/usr/local/bin/check-new", State: "unknown", Fall: 1, Rise: 1, IntervalMS: 10000, TimeoutMS: 5000,
		},
	}
}

func addrs(texts ...string) []netip.Addr {
	list := make([]netip.Addr, len(texts))
	for i, t := range texts {
		list[i] = netip.MustParseAddr(t)
	}
	return list
}

func interfaces() []router.InterfaceStatus {
	prefixes := func(texts ...string) (list []netip.Prefix) {
		for _, t := range texts {
			list = append(list, netip.MustParsePrefix(t))
		}
		return list
	}
	return []router.InterfaceStatus{
		{
			Name: "lan", Device: "eth1", Attach: "af_packet", MAC: packet.MAC{2, 0, 0x5e, 0x10, 0, 2}, MTU: 1500, Up: true,
			Addresses: prefixes("192.0.2.2/24", "2001:db8:1::2/64", "fe80::5eff:fe10:2/64"),
			RX:        router.TrafficStatus{Packets: 123456789, Bytes: 98765432109, Dropped: 12},
			TX:        router.TrafficStatus{Packets: 120000001, Bytes: 150000000},
		},
		{
			Name: "wan", Device: "eth2", Attach: "af_packet", MAC: packet.MAC{2, 0, 0x5e, 0x10, 0, 3}, MTU: 9000, Up: true,
			Addresses: prefixes("203.0.113.2/24"),
			RX:        router.TrafficStatus{Packets: 999, Bytes: 1023},
			TX:        router.TrafficStatus{Packets: 1000, Bytes: 1024},
		},
		{
			Name: "spare", Device: "eth3", Attach: "tap", MTU: 1500,
			Problem: "device eth3 does not exist",
		},
	}
}

func routes() []router.RouteStatus {
	hop := func(via, name string, resolved bool) router.NextHopStatus {
		h := router.NextHopStatus{Interface: name, Resolved: resolved}
		if via != "" {
			h.Via = netip.MustParseAddr(via)
		}
		return h
	}
	route := func(prefix, source, kind string, metric uint32, hops ...router.NextHopStatus) router.RouteStatus {
		source, protocol, _ := strings.Cut(source, " by ")
		return router.RouteStatus{
			Prefix: netip.MustParsePrefix(prefix), Source: source, Protocol: protocol, Type: kind, Metric: metric, NextHops: hops,
			Distance: map[string]uint8{"static": 1, "imported": 110}[source],
		}
	}
	return []router.RouteStatus{
		route("0.0.0.0/0", "static", "unicast", 1, hop("203.0.113.1", "wan", true), hop("203.0.113.9", "wan", false)),
		route("192.0.2.0/24", "connected", "unicast", 0, hop("", "lan", true)),
		route("192.0.2.1/32", "virtual", "local", 0, hop("", "lan", true)),
		route("192.0.2.255/32", "local", "broadcast", 0, hop("", "lan", true)),
		route("198.51.100.0/24", "static", "blackhole", 10),
		route("203.0.113.128/25", "imported by bird", "unicast", 32, hop("192.0.2.9", "lan", true)),
		route("2001:db8:1::/64", "connected", "unicast", 0, hop("", "lan", true)),
	}
}

func neighbors() []router.NeighborStatus {
	entry := func(address, name string, last byte, state string, age time.Duration) router.NeighborStatus {
		n := router.NeighborStatus{
			Address: netip.MustParseAddr(address), Interface: name, State: state, AgeMS: age.Milliseconds(),
		}
		if last != 0 {
			n.MAC = packet.MAC{2, 0, 0x5e, 0x10, 0, last}
		}
		return n
	}
	return []router.NeighborStatus{
		entry("192.0.2.10", "lan", 0x10, "reachable", 2300*time.Millisecond),
		entry("192.0.2.11", "lan", 0x11, "stale", 14*time.Minute),
		entry("192.0.2.99", "lan", 0, "incomplete", 40*time.Millisecond),
		entry("203.0.113.1", "wan", 0x99, "probe", 31*time.Second),
		entry("2001:db8:1::a00:27ff:fe4e:66a1", "lan", 0x12, "delay", 4*time.Hour),
	}
}

func counters() router.CountersStatus {
	return router.CountersStatus{
		Drops: map[string]uint64{"foreign_mac": 4711, "ttl_expired": 3, "bad_checksum": 0, "no_route": 12},
		Punts: map[string]router.PuntStatus{
			"vrrp": {Accepted: 196}, "arp": {Accepted: 5021, Dropped: 17}, "nd": {Accepted: 77}, "bfd": {},
		},
		ICMP:    map[string]uint64{"time_exceeded_sent": 3, "too_big_sent": 0},
		Control: map[string]uint64{"longest_turn_us": 840, "turns": 100234},
		Workers: []router.WorkerStatus{
			{
				Worker: 0, Forwarded: 123456789, Batches: 7654321, BusyNS: 95_000_000_000,
				Frames: 123471532, UptimeNS: 400_000_000_000, Busy: 97.3,
				BatchSizes: router.BatchesStatus{UpTo: []int{1, 3, 7, 15, 31, 63, 64}, Counts: []uint64{2000000, 0, 654321, 1000000, 3000000, 0, 1000000}},
				Punts:      map[string]router.PuntStatus{"arp": {Accepted: 5021, Dropped: 17}, "nd": {Accepted: 77}, "vrrp": {Accepted: 196}},
				Drops:      map[string]uint64{"foreign_mac": 4711, "ttl_expired": 3, "no_route": 12},
				Lost:       router.LostStatus{Receiving: 88, Sending: 0},
				Fragmented: 4, Segmented: 7, Coalesced: 2900,
			},
			{Worker: 1},
		},
		Forwarding: map[string]uint64{"fragmented": 4, "segmented": 7, "coalesced": 2900},
		Timers: map[string]router.HistogramStatus{
			"vrrp_lateness": {
				UpToUS: []int64{50, 100, 1000, 10000}, Counts: []uint64{900, 88, 11, 1, 0}, MaxUS: 1210, SumUS: 61_500,
			},
		},
	}
}

func events() []router.Event {
	return []router.Event{
		{
			Time: Now.Add(-26 * time.Hour), Kind: "interface", Name: "spare", From: "up", To: "down",
			Reason: "device eth3 does not exist",
		},
		{
			Time: Now.Add(-196 * time.Second), Kind: "vrrp", Name: "lan4", From: "Initialize", To: "Backup",
			Reason: "start",
		},
		{
			Time: Now.Add(-192 * time.Second), Kind: "vrrp", Name: "lan4", From: "Backup", To: "Master",
			Reason: "master down timer",
		},
		{
			Time: Now.Add(-90 * time.Second), Kind: "duplicate_address", Name: "lan",
			Reason: "192.0.2.2 is also used by 02:00:5e:10:00:77",
		},
	}
}

func bfdSessions() []router.BFDSession {
	return []router.BFDSession{
		{
			Names: []string{"isp1-gw", "isp1"}, Peer: "203.0.113.1", Interface: "wan", State: "Up", RemoteState: "Up",
			Since: Now.Add(-3 * time.Hour), Transitions: 3, LastReason: "both hear each other",
			Diagnostic: "no diagnostic", RemoteDiag: "no diagnostic", TransmitMS: 50, DetectionMS: 150,
			Mine: 1, Yours: 3021, PacketsSent: 245_110, PacketsReceived: 244_871,
		},
		{
			Names: []string{"isp2-gw"}, Peer: "fe80::9%wan2", Interface: "wan2", State: "Down", RemoteState: "Down",
			Since: Now.Add(-12 * time.Second), Transitions: 4, LastReason: "no packet for 150ms",
			Diagnostic: "control detection time expired", RemoteDiag: "no diagnostic", TransmitMS: 1000, DetectionMS: 150,
			Mine: 2, PacketsSent: 9120, PacketsReceived: 9071, Failed: true,
		},
	}
}
