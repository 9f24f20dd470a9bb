package netlab

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"vrouter/packet"
)

var (
	asker  = packet.MAC{2, 0, 0, 0, 0, 1}
	owner  = packet.MAC{0, 0, 0x5e, 0, 1, 10}
	target = netip.MustParseAddr("192.0.2.1")
	other6 = netip.MustParseAddr("2001:db8:1::1")
)

// arpReply answers arpRequest.
func arpReply() packet.Ethernet {
	b := arpRequest(owner, target, netip.MustParseAddr("192.0.2.10"))
	copy(b, asker[:])
	b[packet.EthernetLen+7] = 2
	return b
}

// advertisement answers solicitation, with the option unless bare.
func advertisement(bare bool) packet.Ethernet {
	b := solicitation(owner, netip.MustParseAddr("2001:db8:1::2"), other6)
	copy(b, asker[:])
	m := b[packet.EthernetLen+packet.IPv6Len:]
	m[0], m[24] = typeAdvertisement, 2
	if bare {
		b = b[:len(b)-8]
		binary.BigEndian.PutUint16(b[packet.EthernetLen+4:], 24)
	}
	return b
}

func TestAnswersAreRead(t *testing.T) {
	if mac, ok := parseARPReply(arpReply(), target); !ok || mac != owner {
		t.Errorf("ARP reply: %v, %v", mac, ok)
	}
	for _, bare := range []bool{false, true} {
		if mac, ok := parseAdvertisement(advertisement(bare), other6); !ok || mac != owner {
			t.Errorf("advertisement, bare %v: %v, %v", bare, mac, ok)
		}
	}
}

func TestOtherFramesAreNoAnswers(t *testing.T) {
	request := arpRequest(owner, target, target)
	if _, ok := parseARPReply(request, target); ok {
		t.Error("an ARP request was taken for a reply")
	}
	if _, ok := parseARPReply(arpReply(), target.Next()); ok {
		t.Error("a reply for another address was taken")
	}
	if _, ok := parseAdvertisement(solicitation(owner, other6, other6), other6); ok {
		t.Error("a solicitation was taken for an advertisement")
	}
	if _, ok := parseAdvertisement(advertisement(false), other6.Next()); ok {
		t.Error("an advertisement for another address was taken")
	}
	endless := advertisement(false)
	endless[len(endless)-7] = 0 // an option of length 0
	if _, ok := parseAdvertisement(endless, other6); ok {
		t.Error("an option without length was taken")
	}
	reply, na := arpReply(), advertisement(false)
	for n := packet.EthernetLen; n < len(reply); n++ {
		if _, ok := parseARPReply(reply[:n], target); ok {
			t.Errorf("a reply cut to %d bytes was taken", n)
		}
	}
	for n := packet.EthernetLen; n < len(na); n++ {
		if _, ok := parseAdvertisement(na[:n], other6); ok {
			t.Errorf("an advertisement cut to %d bytes was taken", n)
		}
	}
}
