package vrrp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/packet"
)

func hexBytes(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	authKey = "secret"
	// An advertisement in an authentication header: every byte from the figures
	// of RFC 2402 and RFC 2338, the check computed apart from this package.
	sealedIP   = "45 c0 00 44 00 00 00 00 ff 33 18 b2 c0 00 02 02 e0 00 00 12"
	sealedHead = "70 04 00 00" + // next header 112, length 4, reserved
		"c0 00 02 02" + // security parameters index: the source
		"01 02 03 04" // sequence number
	sealedAdvert = "21 0a 96 02 02 01 c1 f1" + // authentication type 2
		"c0 00 02 01 c0 00 02 fe" +
		"00 00 00 00 00 00 00 00" // authentication data
	groupCheck = "6d f9 d7 df 40 32 53 b6 d1 59 ba ba" // the TTL as it is: keepalived's reading
	rfcCheck   = "96 7b b9 e6 72 cf c6 a6 0c 48 e6 cb" // the TTL zero: RFC 2402's reading

	peerIP    = "45 c0 00 44 00 00 00 00 ff 33 36 c1 c0 00 02 02 c0 00 02 03"
	peerCheck = "92 c2 a6 21 ad ef c3 cf 86 39 55 97"
)

func sealedBytes(t testing.TB, ip, check string) packet.IPv4 {
	return hexBytes(t, ip+sealedHead+check+sealedAdvert)
}

func TestSeal_writes_the_bytes_of_the_figures(t *testing.T) {
	for name, want := range map[string]packet.IPv4{
		"to the group": sealedBytes(t, sealedIP, groupCheck), "to a peer": sealedBytes(t, peerIP, peerCheck),
	} {
		got := packet.IPv4(bytes.Clone(want))
		clear(got[20:44])
		Seal(got, authKey, 0x01020304)
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  % x\nwant % x", name, got, want)
		}
	}
}

func TestAppend_writes_the_password_behind_the_addresses(t *testing.T) {
	r := newRig(t, version2, withAuth(AuthPassword))
	adv := r.m.advertisement(150)
	adv.Addresses = []netip.Addr{virtual, second}
	want := hexBytes(t, "21 0a 96 02 01 01 86 a5 c0 00 02 01 c0 00 02 fe 73 65 63 72 65 74 00 00")
	if got := adv.Append(nil, routerA, GroupIPv4, false); !bytes.Equal(got, want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
	got, reason := Parse(routerA, GroupIPv4, 255, want)
	if reason != ReasonNone || string(got.AuthData[:6]) != authKey {
		t.Errorf("%+v %v", got, reason)
	}
}

func withAuth(kind AuthType) func(*Config) {
	return func(c *Config) { c.Auth = Auth{kind, authKey} }
}

// The machine of these tests has VRID 10 and one address; what comes from the
// packets above is what a peer with another list would send.
func TestReceive_accepts_a_sealed_advertisement_by_either_reading_of_the_TTL(t *testing.T) {
	for _, check := range []string{groupCheck, rfcCheck} {
		r := newRig(t, version2, withAuth(AuthAH)).asMaster()
		adv, reason := ParseIPv4(sealedBytes(t, sealedIP, check))
		if reason != ReasonNone {
			t.Fatal(reason)
		}
		adv.Interval = r.m.cfg.Interval
		adv.VRID = r.m.cfg.VRID
		if _, reason := r.m.Receive(r.now, at(routerA), adv); reason != ReasonNone {
			t.Errorf("check %s: %v", check, reason)
		}
	}
}

// A bit changed anywhere, but in what routers may change on the way, is found.
func TestReceive_finds_every_flipped_bit_of_a_sealed_packet(t *testing.T) {
	good := sealedBytes(t, sealedIP, groupCheck)
	for bit := range len(good) * 8 {
		b := packet.IPv4(bytes.Clone(good))
		b[bit/8] ^= 1 << (bit % 8)
		if b.HeaderLen() > len(b) || len(b) < AuthHeaderLen {
			continue // no IPv4 packet
		}
		switch i := bit / 8; {
		case i == 0 || i == 2 || i == 3: // version, lengths: of the caller's checks
			continue
		case i == 1, i == 6, i == 7, i == 10, i == 11: // mutable
			continue
		}
		r := newRig(t, version2, withAuth(AuthAH)).asMaster()
		adv, reason := ParseIPv4(b)
		if reason == ReasonNone {
			adv.VRID, adv.Interval = r.m.cfg.VRID, r.m.cfg.Interval
			_, reason = r.m.Receive(r.now, at(b.Src()), adv)
		}
		if reason == ReasonNone {
			t.Errorf("bit %d of byte %d flipped unnoticed", bit%8, bit/8)
		}
	}
}

// sealed is an advertisement of a peer with a sequence number.
func (r *rig) sealed(src netip.Addr, key string, sequence uint32, edit func(*Advertisement)) packet.IPv4 {
	adv := r.m.advertisement(1)
	adv.AuthType = AuthAH
	if edit != nil {
		edit(&adv)
	}
	b := adv.Append(make([]byte, packet.IPv4Len+AuthHeaderLen), src, GroupIPv4, false)
	h := packet.IPv4Header{TTL: TTL, Protocol: packet.ProtoAH, Src: src, Dst: GroupIPv4}
	h.Put(b, len(b)-packet.IPv4Len)
	Seal(b, key, sequence)
	return b
}

// receive gives a whole packet to the Machine.
func (r *rig) receive(ip packet.IPv4) Reason {
	adv, reason := ParseIPv4(ip)
	if reason == ReasonNone {
		_, reason = r.m.Receive(r.now, at(ip.Src()), adv)
	}
	return reason
}

func TestReceive_discards_what_is_not_authenticated_as_configured(t *testing.T) {
	plain := func(kind AuthType, password string) func(*rig) packet.IPv4 {
		return func(r *rig) packet.IPv4 {
			adv := r.m.advertisement(1)
			adv.AuthType, adv.AuthData = kind, [8]byte{}
			copy(adv.AuthData[:], password)
			b := adv.Append(make([]byte, packet.IPv4Len), routerC, GroupIPv4, false)
			h := packet.IPv4Header{TTL: TTL, Protocol: packet.ProtoVRRP, Src: routerC, Dst: GroupIPv4}
			h.Put(b, len(b)-packet.IPv4Len)
			return b
		}
	}
	sealed := func(key string, edit func(*Advertisement)) func(*rig) packet.IPv4 {
		return func(r *rig) packet.IPv4 { return r.sealed(routerC, key, 1, edit) }
	}
	changed := func(at int, value byte) func(*rig) packet.IPv4 {
		return func(r *rig) packet.IPv4 {
			b := r.sealed(routerC, authKey, 1, nil)
			b[at] = value
			return b
		}
	}
	for _, c := range []struct {
		name string
		kind AuthType
		make func(*rig) packet.IPv4
		want Reason
	}{
		{"the password", AuthPassword, plain(AuthPassword, authKey), ReasonNone},
		{"another password", AuthPassword, plain(AuthPassword, "Secret"), ReasonAuthPassword},
		{"a longer password", AuthPassword, plain(AuthPassword, "secret1"), ReasonAuthPassword},
		{"no password", AuthPassword, plain(AuthPassword, ""), ReasonAuthPassword},
		{"none where a password is due", AuthPassword, plain(AuthNone, authKey), ReasonAuthType},
		{"a password where none is due", AuthNone, plain(AuthPassword, authKey), ReasonAuthType},
		{"none where none is due, with data", AuthNone, plain(AuthNone, authKey), ReasonNone},
		{"a header where none is due", AuthNone, sealed(authKey, nil), ReasonAuthType},
		{"a header where a password is due", AuthPassword, sealed(authKey, nil), ReasonAuthType},
		{"the header", AuthAH, sealed(authKey, nil), ReasonNone},
		{"another key", AuthAH, sealed("secreT", nil), ReasonAuthHeader},
		{"no header", AuthAH, plain(AuthAH, ""), ReasonAuthType},
		{"a password where a header is due", AuthAH, plain(AuthPassword, authKey), ReasonAuthType},
		{"a header around type none", AuthAH, sealed(authKey, func(a *Advertisement) { a.AuthType = AuthNone }), ReasonAuthType},
		{"a header around a password", AuthAH, sealed(authKey, func(a *Advertisement) { a.AuthType = AuthPassword }), ReasonAuthType},
		{"a header around version 3", AuthAH, sealed(authKey, func(a *Advertisement) { a.Version, a.Interval = 3, time.Second }), ReasonAuthType},
		{"another protocol in the header", AuthAH, changed(20, 17), ReasonAuthHeader},
		{"another length of the header", AuthAH, changed(21, 5), ReasonAuthHeader},
		{"another security parameters index", AuthAH, changed(24, 10), ReasonAuthHeader},
		{"another interval, authenticated", AuthAH, sealed(authKey, func(a *Advertisement) { a.Interval = 9 * time.Second }), ReasonIntervalMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, version2, withAuth(c.kind)).asMaster()
			before := r.m.Info()
			if got := r.receive(c.make(r)); got != c.want {
				t.Fatalf("got %v, want %v", got, c.want)
			}
			if c.want != ReasonNone {
				r.checkInfo(before, nil)
			}
		})
	}
}

// The index is covered by the check; but whose key is right may still not speak
// for another.
func TestReceive_discards_a_header_whose_index_is_not_the_source(t *testing.T) {
	r := newRig(t, version2, withAuth(AuthAH)).asMaster()
	b := r.sealed(routerC, authKey, 1, nil)
	b[24] = 10
	check := icv(b, authKey, true)
	copy(b[32:44], check[:])
	if got := r.receive(b); got != ReasonAuthHeader {
		t.Error(got)
	}
}

func TestReceive_discards_a_header_behind_IP_options(t *testing.T) {
	r := newRig(t, version2, withAuth(AuthAH)).asMaster()
	b := r.sealed(routerC, authKey, 1, nil)
	long := append(bytes.Clone(b[:20]), 1, 1, 1, 1)
	long = append(long, b[20:]...)
	long[0] = 0x46
	binary.BigEndian.PutUint16(long[2:], uint16(len(long)))
	if got := r.receive(packet.IPv4(long)); got != ReasonAuthHeader {
		t.Error(got)
	}
}

func TestParseIPv4_of_what_is_cut_off(t *testing.T) {
	whole := sealedBytes(t, sealedIP, groupCheck)
	for n := packet.IPv4Len; n < len(whole); n++ {
		if adv, reason := ParseIPv4(whole[:n]); reason != ReasonAuthHeader && reason != ReasonLength {
			t.Errorf("%d bytes: %+v %v", n, adv, reason)
		}
	}
}

// RFC 2402 3.4.3: a sequence number is good once, and none below it afterwards.
func TestReceive_discards_what_is_sent_again(t *testing.T) {
	r := newRig(t, version2, withAuth(AuthAH)).asMaster()
	for _, c := range []struct {
		src    netip.Addr
		number uint32
		want   Reason
	}{
		{routerC, 5, ReasonNone}, // of a stranger any number is good
		{routerC, 5, ReasonAuthReplay},
		{routerC, 4, ReasonAuthReplay},
		{routerC, 6, ReasonNone},
		{routerA, 1, ReasonNone}, // each sender has a counter of its own
		{routerC, 900, ReasonNone},
		{routerA, 1, ReasonAuthReplay},
		{routerC, math.MaxUint32, ReasonNone},
		{routerC, 0, ReasonAuthReplay},
	} {
		if got := r.receive(r.sealed(c.src, authKey, c.number, nil)); got != c.want {
			t.Errorf("%v, number %d: %v, want %v", c.src, c.number, got, c.want)
		}
	}
	if n := r.m.Counters()["discarded_auth_replay"]; n != 4 {
		t.Errorf("%d counted", n)
	}
}

// Without the key nobody moves the counter: a forged high number would make the
// true sender's packets look like old ones.
func TestReceive_learns_no_sequence_number_of_a_packet_that_is_not_genuine(t *testing.T) {
	r := newRig(t, version2, withAuth(AuthAH)).asMaster()
	r.receive(r.sealed(routerC, "wrong", math.MaxUint32, nil))
	if got := r.receive(r.sealed(routerC, authKey, 1, nil)); got != ReasonNone {
		t.Error(got)
	}
}

func TestReceive_remembers_a_bounded_number_of_senders(t *testing.T) {
	r := newRig(t, version2, withAuth(AuthAH)).asMaster()
	for i := range 10 * maxHeardFrom {
		src := netip.AddrFrom4([4]byte{192, 0, 2, byte(i%200 + 20)})
		r.receive(r.sealed(src, authKey, uint32(i+1), nil))
	}
	if n := len(r.m.sequences.heard); n != maxHeardFrom {
		t.Errorf("%d senders", n)
	}
}

// keepalived discards what is not above all that it has sent and heard.
func TestNextSequence_is_above_all_that_was_sent_and_heard(t *testing.T) {
	r := newRig(t, version2, withAuth(AuthAH)).asMaster()
	r.now = time.Unix(100, 0)
	first := r.m.NextSequence(r.now)
	if first != 200 {
		t.Errorf("first number %d, want the time in half seconds", first)
	}
	if next := r.m.NextSequence(r.now); next != 201 {
		t.Errorf("next number %d", next)
	}
	r.receive(r.sealed(routerC, authKey, 1000, nil))
	if next := r.m.NextSequence(r.now); next != 1001 {
		t.Errorf("number %d after 1000 was heard", next)
	}
	r.receive(r.sealed(routerA, authKey, 7, nil))
	if next := r.m.NextSequence(r.now); next != 1002 {
		t.Errorf("number %d after a lower one was heard", next)
	}
}

// A router that starts anew, and may not hear the others, is heard by them.
func TestNextSequence_of_a_restarted_router_is_above_those_before(t *testing.T) {
	before := newRig(t, version2, withAuth(AuthAH))
	before.now = time.Unix(1_800_000_000, 0)
	var last uint32
	for range 3600 {
		last = before.m.NextSequence(before.now)
		before.now = before.now.Add(time.Second)
	}
	after := newRig(t, version2, withAuth(AuthAH))
	if got := after.m.NextSequence(before.now.Add(time.Second)); got <= last {
		t.Errorf("%d after %d", got, last)
	}
}

func TestNextSequence_never_begins_anew(t *testing.T) {
	s := sequences{highest: math.MaxUint32 - 1}
	now := time.Unix(1<<40, 0) // a clock that is wrong
	for range 3 {
		s.highest = s.after(now, 1)
	}
	if s.highest != math.MaxUint32 || s.after(now, willLead) != math.MaxUint32 {
		t.Error(s.highest)
	}
}

// The will must be above what was sent after it was prepared.
func TestWillSequence_is_good_after_the_next_advertisement(t *testing.T) {
	peer := newRig(t, version2, withAuth(AuthAH)).asMaster()
	r := newRig(t, version2, withAuth(AuthAH)).asMaster()
	will := r.m.WillSequence(r.now)
	for range willLead - 1 {
		if got := peer.receive(peer.sealed(routerC, authKey, r.m.NextSequence(r.now), nil)); got != ReasonNone {
			t.Fatal(got)
		}
	}
	if got := peer.receive(peer.sealed(routerC, authKey, will, nil)); got != ReasonNone {
		t.Error(got)
	}
	if r.m.WillSequence(r.now) <= will {
		t.Error("a later will is not above an earlier one")
	}
}

// A router that dies and hears nobody in its next life sends after a
// Master_Down_Interval at the earliest; it must be heard then.
func TestWillSequence_is_below_the_next_life(t *testing.T) {
	before := newRig(t, version2, withAuth(AuthAH))
	before.now = time.Unix(1_800_000_000, 0)
	for range 3600 {
		before.m.NextSequence(before.now)
		before.now = before.now.Add(time.Second)
	}
	will := before.m.WillSequence(before.now)
	after := newRig(t, version2, withAuth(AuthAH))
	if got := after.m.NextSequence(before.now.Add(3 * time.Second)); got <= will {
		t.Errorf("%d after a will of %d", got, will)
	}
}

// FuzzParseIPv4: nothing that arrives can panic, and nothing without the key is
// taken for genuine.
func FuzzParseIPv4(f *testing.F) {
	f.Add([]byte(sealedBytes(f, sealedIP, groupCheck)))
	f.Add([]byte(sealedBytes(f, peerIP, peerCheck)))
	f.Add(append(hexBytes(f, "45 00 00 1c 00 00 00 00 ff 70 00 00 c0 00 02 02 e0 00 00 12"), 0x21, 10, 1, 1, 0, 1, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		ip, ok := packet.ParseIPv4(b)
		if !ok {
			return
		}
		adv, reason := ParseIPv4(ip)
		if reason != ReasonNone {
			return
		}
		m := New(Config{
			VRID: adv.VRID, Version: adv.Version, Addresses: []netip.Addr{virtual}, Priority: 100,
			Interval: adv.Interval, Auth: Auth{AuthAH, "a key that the corpus does not have"},
		})
		m.Start(time.Unix(1, 0), routerB)
		if _, reason := m.Receive(time.Unix(2, 0), at(ip.Src()), adv); adv.Version == 2 && reason == ReasonNone {
			t.Fatalf("taken for genuine: % x", b)
		}
	})
}
