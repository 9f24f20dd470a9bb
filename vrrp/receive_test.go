package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

func TestReceive_discards(t *testing.T) {
	tests := []struct {
		name  string
		edits []func(*Config)
		src   netip.Addr
		edit  func(*Advertisement)
		want  Reason
	}{
		{"another VRID", nil, routerC, func(a *Advertisement) { a.VRID = 11 }, ReasonUnknown},
		{"the other family", nil, linkA, func(*Advertisement) {}, ReasonUnknown},
		{"version 2 for version 3", nil, routerC, func(a *Advertisement) { a.Version = 2 }, ReasonVersionMismatch},
		{"version 3 for version 2", []func(*Config){version2}, routerC, func(a *Advertisement) { a.Version = 3 }, ReasonVersionMismatch},
		{"our own packet", nil, routerB, func(*Advertisement) {}, ReasonOwnSource},
		{"our own packet with a higher priority", nil, routerB, func(a *Advertisement) { a.Priority = 200 }, ReasonOwnSource},
		{"our own IPv6 packet with a zone", []func(*Config){inIPv6}, linkB.WithZone("eth0"), func(*Advertisement) {}, ReasonOwnSource},
		{"not a peer", []func(*Config){func(c *Config) { c.Peers = []netip.Addr{routerA} }}, routerC, func(*Advertisement) {}, ReasonPeer},
		{"another interval in version 2", []func(*Config){version2}, routerC, func(a *Advertisement) { a.Interval = 2 * sec }, ReasonIntervalMismatch},
		{"a second owner", []func(*Config){owner}, routerC, func(a *Advertisement) { a.Priority = 255 }, ReasonOwnerConflict},
		{"a second owner in version 2", []func(*Config){owner, version2}, routerC, func(a *Advertisement) { a.Priority = 255 }, ReasonOwnerConflict},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, test.edits...).asMaster()
			before, deadline := r.m.Info(), r.m.Deadline()
			adv := r.m.advertisement(200)
			test.edit(&adv)
			actions, reason := r.m.Receive(r.now, at(test.src), adv)
			if reason != test.want {
				t.Errorf("got %v, want %v", reason, test.want)
			}
			r.want(actions, "")
			r.checkInfo(before, nil)
			if !r.m.Deadline().Equal(deadline) {
				t.Error("the deadline has moved")
			}
			name := "discarded_" + test.want.String()
			if c := r.m.Counters(); test.want != ReasonUnknown && c[name] != 1 {
				t.Errorf("%s is %d", name, c[name])
			}
			if c := r.m.Counters(); c["advertisements_received"] != 0 {
				t.Error("counted as received")
			}
		})
	}
}

func TestReceive_takes_packets_of_listed_peers(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Peers = []netip.Addr{routerA, routerC} }).asMaster()
	r.want(r.hear(routerC, greater), "Master>Backup")
}

func TestReceive_tolerates_another_interval_in_version_3(t *testing.T) {
	r := newRig(t).asMaster()
	adv := r.m.advertisement(greater)
	adv.Interval = 10 * time.Millisecond
	if _, reason := r.m.Receive(r.now, at(routerC), adv); reason != ReasonNone {
		t.Error(reason)
	}
	if got := r.m.Info().MasterInterval; got != 10*ms {
		t.Error(got)
	}
}

func TestReceive_tolerates_other_addresses_and_tells(t *testing.T) {
	for _, edits := range [][]func(*Config){nil, {version2}} {
		r := newRig(t, edits...)
		r.start()
		adv := r.m.advertisement(greater)
		adv.Addresses = []netip.Addr{virtual, second}
		if _, reason := r.m.Receive(r.now, at(routerC), adv); reason != ReasonNone {
			t.Error(reason)
		}
		if got := r.m.Info(); len(got.PeerAddresses) != 2 || got.MasterAddress != routerC {
			t.Errorf("%+v", got)
		}
		if got := r.m.Counters()["address_mismatch"]; got != 1 {
			t.Errorf("counted %d", got)
		}
		r.hear(routerC, greater)
		if got := r.m.Info().PeerAddresses; got != nil {
			t.Errorf("still shows %v", got)
		}
	}
}

func TestReceive_ignores_the_order_of_addresses(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Addresses = []netip.Addr{virtual, second} })
	r.start()
	adv := r.m.advertisement(greater)
	adv.Addresses = []netip.Addr{second, virtual}
	r.m.Receive(r.now, at(routerC), adv)
	if got := r.m.Counters()["address_mismatch"]; got != 0 {
		t.Error("an order is no mismatch")
	}
	adv.Addresses = []netip.Addr{second, second}
	r.m.Receive(r.now, at(routerC), adv)
	if got := r.m.Counters()["address_mismatch"]; got != 1 {
		t.Error("a list with one address twice is a mismatch")
	}
}

func TestCounters_count_what_happened(t *testing.T) {
	r := newRig(t, fiveTimes).asMaster() // becomes Master at 3.6 s: 1 sent, 2 announcements
	r.hear(routerC, 0)                   // asserted
	r.hear(routerC, lesser)              // asserted
	r.hear(routerC, lesser)              // asserted
	r.m.Discarded(ReasonChecksum)
	r.m.Discarded(NumReasons) // out of range: nothing
	r.m.Stop(r.now, "test")
	r.m.Resume(r.now, sec)
	r.m.Receive(r.now, at(routerC), r.advert(1))
	got := r.m.Counters()
	for name, want := range map[string]uint64{
		"advertisements_received": 3,
		"advertisements_sent":     5,
		"advertisements_asserted": 3,
		"priority_zero_received":  1,
		"priority_zero_sent":      1,
		"announcements":           2,
		"became_master":           1,
		"discarded_checksum":      1,
		"discarded_ttl":           0,
		"discarded_not_running":   1,
		"resumed":                 1,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %d (%v), want %d", name, n, ok, want)
		}
	}
	if _, ok := got["discarded_none"]; ok {
		t.Error("good packets are counted as discarded")
	}
}

func TestInfo_of_a_Master_names_itself(t *testing.T) {
	r := newRig(t).asMaster()
	i := r.m.Info()
	if i.MasterAddress != routerB || i.MasterPriority != 100 || i.MasterInterval != sec || i.State != Master || !i.Forwarding {
		t.Errorf("%+v", i)
	}
}

func TestInfo_names_no_master_after_priority_zero(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, greater)
	r.hear(routerC, 0)
	if i := r.m.Info(); i.MasterAddress.IsValid() {
		t.Errorf("%+v", i)
	}
}

func TestInfo_tells_of_a_peer_with_the_other_checksum(t *testing.T) {
	r := newRig(t)
	r.start()
	adv := r.advert(greater)
	adv.PlainCSum = true
	r.m.Receive(r.now, at(routerC), adv)
	if !r.m.Info().PeerPlainCSum {
		t.Error("not told")
	}
}

func TestInfo_in_Initialize_has_forgotten_the_master(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, greater) // with an interval of 2 s
	r.m.Down(r.now, "link")
	if i := r.m.Info(); i.MasterAddress.IsValid() || i.MasterInterval != sec || i.MasterDownInterval != down100 {
		t.Errorf("%+v", i)
	}
}
