package router

import (
	"net/netip"
	"time"

	"vrouter/packet"
	"vrouter/vrrp"
)

// The types of this file are what the control API answers. Their JSON names
// are a contract with other programs: fields are added, never renamed.

// VirtualRouterStatus is one virtual router in "show vrrp".
type VirtualRouterStatus struct {
	Name                    string            `json:"name"`
	Interface               string            `json:"interface"`
	VRID                    uint8             `json:"vrid"`
	Family                  string            `json:"family"` // "ipv4" or "ipv6"
	Version                 uint8             `json:"version"`
	State                   vrrp.State        `json:"state"`
	Priority                uint8             `json:"priority"`
	EffectivePriority       uint8             `json:"effective_priority"`
	Preempt                 bool              `json:"preempt"`
	Accept                  bool              `json:"accept"`
	Addresses               []netip.Addr      `json:"addresses"`
	VirtualMAC              packet.MAC        `json:"virtual_mac"`
	AdvertisementIntervalMS int64             `json:"advertisement_interval_ms"`
	MasterDownIntervalMS    int64             `json:"master_down_interval_ms"`
	SkewTimeMS              int64             `json:"skew_time_ms"`
	Master                  MasterStatus      `json:"master"`
	PeerAddresses           []netip.Addr      `json:"peer_addresses,omitempty"` // of the last advertisement with other addresses than ours
	Contested               *ContestedStatus  `json:"contested,omitempty"`      // nil: nobody else claims the virtual router
	DampedUntil             *time.Time        `json:"damped_until,omitempty"`   // until then silence is no reason to take over
	Forwarding              bool              `json:"forwarding"`               // the virtual MAC is served now
	Since                   time.Time         `json:"since"`
	Transitions             uint64            `json:"transitions"`
	LastReason              string            `json:"last_reason"`
	Terms                   []TermStatus      `json:"terms"`
	Holding                 *HoldingStatus    `json:"holding,omitempty"`
	Group                   *GroupStatus      `json:"group,omitempty"`
	Obstacle                string            `json:"obstacle,omitempty"` // why it does not run
	WouldWin                WinnerStatus      `json:"would_win"`
	IfMasterDied            string            `json:"if_master_died"`
	Counters                map[string]uint64 `json:"counters"`
}

// TermStatus is one thing that a virtual router's effective priority depends on.
type TermStatus struct {
	Kind   string `json:"kind"` // interface | route | bgp | check | drain
	Name   string `json:"name"`
	Weight int    `json:"weight"` // taken off the priority while down; 0: the virtual router is down then
	Up     bool   `json:"up"`
	Known  bool   `json:"known"`            // false: no verdict yet, counts as up
	Effect int    `json:"effect"`           // on the priority now: 0, or less
	Reason string `json:"reason,omitempty"` // why it is down or not known
}

// HoldingStatus says why a lesser master is not preempted yet.
type HoldingStatus struct {
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"` // at the latest
}

// GroupStatus is the group of virtual routers that change state together.
type GroupStatus struct {
	Name    string   `json:"name"`
	Members []string `json:"members"`
	Waiting string   `json:"waiting,omitempty"` // why it does not take over although a member would
}

// WinnerStatus is the router that would win an election now, of those that are
// known: this one, and the master that is heard.
type WinnerStatus struct {
	Address  netip.Addr `json:"address"`
	Priority uint8      `json:"priority"`
	Reason   string     `json:"reason"`
}

// CheckStatus is one health check in "show checks".
type CheckStatus struct {
	Name        string    `json:"name"`
	Kind        string    `json:"kind"` // ping | tcp | exec
	Target      string    `json:"target"`
	State       string    `json:"state"`       // unknown | up | down
	Since       time.Time `json:"since"`       // of the state
	OK          bool      `json:"ok"`          // the last result
	Consecutive int       `json:"consecutive"` // results like the last one in a row
	Last        time.Time `json:"last"`        // when it came
	Detail      string    `json:"detail"`
	Fall        int       `json:"fall"`
	Rise        int       `json:"rise"`
	IntervalMS  int64     `json:"interval_ms"`
	TimeoutMS   int64     `json:"timeout_ms"`
}

// MasterStatus is the router known to be Master; the zero Address means none.
type MasterStatus struct {
	Address  netip.Addr `json:"address"`
	Priority uint8      `json:"priority"`
}

// InterfaceStatus is one interface in "show interfaces". The daemon fills in
// the counters, which workers keep.
type InterfaceStatus struct {
	Name      string         `json:"name"`
	Device    string         `json:"device"`
	Attach    string         `json:"attach"`
	MAC       packet.MAC     `json:"mac"`
	MTU       int            `json:"mtu"`
	Up        bool           `json:"up"`
	Problem   string         `json:"problem,omitempty"` // why it is not up
	Addresses []netip.Prefix `json:"addresses"`
	RA        *RAStatus      `json:"ra,omitempty"`       // router advertisements; none where they are not configured
	HostTAP   *HostTAPStatus `json:"host_tap,omitempty"` // where the host's kernel has the addresses; none: it has not
	RX        TrafficStatus  `json:"rx"`
	TX        TrafficStatus  `json:"tx"`
}

// TrafficStatus counts frames and bytes (from the destination MAC on).
type TrafficStatus struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	Dropped uint64 `json:"dropped"`
}

// RouteStatus is one route in "show routes": the best of its prefix.
type RouteStatus struct {
	Prefix   netip.Prefix    `json:"prefix"`
	Source   string          `json:"source"`             // local | virtual | connected | static | bgp | imported | ibgp
	Distance uint8           `json:"distance"`           // administrative: of several sources the lowest wins
	Protocol string          `json:"protocol,omitempty"` // imported: who has put it into the kernel, as bird, zebra, static
	Type     string          `json:"type"`               // unicast | local | blackhole | unreachable
	Metric   uint32          `json:"metric"`
	NextHops []NextHopStatus `json:"nexthops"`
}

// NextHopStatus is one next hop; Via is the zero Addr for a connected route.
type NextHopStatus struct {
	Via       netip.Addr `json:"via"`
	Interface string     `json:"interface"`
	Resolved  bool       `json:"resolved"`
}

// RouteCount is how many routes of a family and source are in use.
type RouteCount struct {
	Family string `json:"family"` // ipv4 | ipv6
	Source string `json:"source"` // as in RouteStatus
	Routes int    `json:"routes"`
}

// NeighborCount is how many neighbours of an interface are in a state.
type NeighborCount struct {
	Interface string `json:"interface"`
	State     string `json:"state"` // as in NeighborStatus
	Neighbors int    `json:"neighbors"`
}

// NeighborStatus is one entry of the neighbour cache in "show neighbors".
type NeighborStatus struct {
	Address   netip.Addr `json:"address"`
	Interface string     `json:"interface"`
	MAC       packet.MAC `json:"mac"`
	State     string     `json:"state"` // incomplete | reachable | stale | delay | probe
	AgeMS     int64      `json:"age_ms"`
}

// CountersStatus is "show counters".
type CountersStatus struct {
	Drops   map[string]uint64          `json:"drops"`   // by reason
	Punts   map[string]PuntStatus      `json:"punts"`   // by class
	ICMP    map[string]uint64          `json:"icmp"`    // errors sent and suppressed
	Control map[string]uint64          `json:"control"` // frames that the control plane refused, by protocol and reason
	Workers []WorkerStatus             `json:"workers"`
	Timers  map[string]HistogramStatus `json:"timers"`

	Forwarding map[string]uint64 `json:"forwarding"` // what was cut, fragmented or segmented, and what was joined: coalesced
}

// PuntStatus counts the frames of one class that were queued and dropped.
type PuntStatus struct {
	Accepted uint64 `json:"accepted"`
	Dropped  uint64 `json:"dropped"`
}

// WorkerStatus is the load of one forwarding thread.
type WorkerStatus struct {
	Worker    int    `json:"worker"`
	Forwarded uint64 `json:"forwarded"`
	Batches   uint64 `json:"batches"`
	BusyNS    uint64 `json:"busy_ns"`

	Frames   uint64  `json:"frames"`       // that it has read
	UptimeNS uint64  `json:"uptime_ns"`    // busy_ns of two moments over this is the load between them
	Busy     float64 `json:"busy_percent"` // lately: of the last second or two

	BatchSizes BatchesStatus         `json:"batch_sizes"`
	Punts      map[string]PuntStatus `json:"punts"`      // by class; those that are not zero
	Drops      map[string]uint64     `json:"drops"`      // by reason; those that are not zero
	Lost       LostStatus            `json:"lost"`       // by its ports
	Fragmented uint64                `json:"fragmented"` // packets that were cut into fragments
	Segmented  uint64                `json:"segmented"`  // GSO frames that were cut into packets
	Coalesced  uint64                `json:"coalesced"`  // GSO frames that were made of TCP segments
}

// BatchesStatus counts batches by size: Counts[i] is the number of those of up to
// UpTo[i] frames, and of more than the bound before. Large ones mean that the
// worker has more to do than it manages frame by frame.
type BatchesStatus struct {
	UpTo   []int    `json:"up_to"`
	Counts []uint64 `json:"counts"`
}

// LostStatus counts the frames that ports lost on the way to a worker, most of
// them because it did not read fast enough, and on the way from it.
type LostStatus struct {
	Receiving uint64 `json:"receiving"`
	Sending   uint64 `json:"sending"`
}

// HistogramStatus counts durations in buckets: Counts[i] is the number of
// those up to UpToUS[i] microseconds; the last bucket has no bound.
type HistogramStatus struct {
	UpToUS []int64  `json:"up_to_us"`
	Counts []uint64 `json:"counts"`
	MaxUS  int64    `json:"max_us"`
	SumUS  uint64   `json:"sum_us"` // of all of them
}

// Event is one line of "show events": something that an operator would want
// to know of.
type Event struct {
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"` // vrrp | contested | interface | duplicate_address | neighbor | config | ...
	Name     string    `json:"name"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Reason   string    `json:"reason"`
	Priority uint8     `json:"priority,omitempty"` // vrrp: the effective one after the change
}
