package main

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"vrouter/packet"
	"vrouter/vrrp"
)

var spots = []spot{{sideLAN, 0}, {sideLAN, 1}, {sideWAN, 0}, {sideWAN, 1}}

// round is one advertisement of a router in each place.
func round(at int64, router int, priority uint8) (list []advert) {
	for _, s := range spots {
		list = append(list, advert{at, router, s, priority})
	}
	return list
}

func TestSoleMaster(t *testing.T) {
	first, second := round(10*ms, 0, 200), round(20*ms, 1, 100)
	both := append(append([]advert{}, first...), second...)
	for _, c := range []struct {
		name     string
		adverts  []advert
		from, to int64
		want     int
		err      error
	}{
		{"one everywhere", first, 0, 30 * ms, 0, nil},
		{"nobody", nil, 0, 30 * ms, 0, errNobody},
		{"one place is silent", first[:3], 0, 30 * ms, 0, errNobody},
		{"both", both, 0, 30 * ms, 0, errSeveral},
		{"the older one is over", both, 15 * ms, 30 * ms, 1, nil},
		{"the newer one is still to come", both, 0, 15 * ms, 0, nil},
		{"gives up", append(round(10*ms, 0, 200), round(20*ms, 0, 0)...), 0, 30 * ms, 0, errSeveral},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := soleMaster(c.adverts, c.from, c.to)
			if !errors.Is(err, c.err) || err == nil && got != c.want {
				t.Errorf("router %d, %v; want %d, %v", got, err, c.want, c.err)
			}
		})
	}
}

func TestTakenIsWhenTheLastPlaceIsTaken(t *testing.T) {
	w := &watch{adverts: round(10*ms, 1, 100)}
	w.adverts = append(w.adverts, round(30*ms, 1, 100)[:3]...)
	w.adverts = append(w.adverts, advert{45 * ms, 1, spots[3], 100}, advert{50 * ms, 0, spots[0], 200})
	if at, ok := w.taken(1, 20*ms); !ok || at != 45*ms {
		t.Errorf("taken at %d, %t; want 45 ms", at, ok)
	}
	if _, ok := w.taken(0, 20*ms); ok {
		t.Error("router 0 has advertised in one place and is said to have all")
	}
}

func TestSpeaksWhateverTheOtherDoes(t *testing.T) {
	w := &watch{adverts: append(round(10*ms, 0, 200), round(12*ms, 1, 100)...)}
	if !w.speaks(1, 20*ms, 15*time.Millisecond) {
		t.Error("router 1 advertises everywhere beside router 0")
	}
	if w.speaks(1, 40*ms, 15*time.Millisecond) {
		t.Error("router 1 has been silent for 28 ms")
	}
}

func TestForgetDropsWhatIsOld(t *testing.T) {
	w := &watch{adverts: append(round(10*ms, 0, 200), round(20*ms, 0, 200)...)}
	w.answers[0] = []answer{{10 * ms, 0}, {20 * ms, 0}}
	w.questions[1] = []int64{10 * ms, 20 * ms}
	w.forget(15 * ms)
	if len(w.adverts) != 4 || len(w.answers[0]) != 1 || len(w.questions[1]) != 1 {
		t.Errorf("left: %d advertisements, %d answers, %d questions", len(w.adverts), len(w.answers[0]), len(w.questions[1]))
	}
}

func TestParseAdvert(t *testing.T) {
	source, group := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("224.0.0.18")
	adv := vrrp.Advertisement{Version: 3, VRID: vridLAN, Priority: 200, Interval: time.Second, Addresses: []netip.Addr{gateway[0]}}
	payload := adv.Append(nil, source, group, false)
	frame := make([]byte, packet.EthernetLen+packet.IPv4Len, 128)
	packet.PutEthernet(frame, packet.MulticastMAC(group), vrrp.VirtualMAC(vridLAN, false), packet.EtherTypeIPv4)
	header := packet.IPv4Header{Protocol: packet.ProtoVRRP, TTL: 255, Src: source, Dst: group}
	header.Put(frame[packet.EthernetLen:], len(payload))
	frame = append(frame, payload...)
	parsed, _ := packet.ParseEthernet(frame)
	if family, priority, ok := parseAdvert(parsed); !ok || family != 0 || priority != 200 {
		t.Errorf("family %d, priority %d, %t; want IPv4, 200", family, priority, ok)
	}
	frame[len(frame)-1]++ // the checksum does not agree
	if _, _, ok := parseAdvert(parsed); ok {
		t.Error("a broken advertisement was taken")
	}
}
