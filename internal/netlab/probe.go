package netlab

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"time"

	"vrouter/packet"
)

// Answer is one reply to an ARP request or neighbour solicitation.
type Answer struct {
	MAC      packet.MAC // what the reply says the address's MAC to be
	Ethernet packet.MAC // whom the frame itself came from
}

// Who asks on the device who has an address, by ARP or by a neighbour
// solicitation, from the host's address source, and returns every answer that
// comes within wait, each router that answers giving one.
func (h *Host) Who(dev string, source, addr netip.Addr, wait time.Duration) ([]Answer, error) {
	w, err := h.OpenWire(dev)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	question, parse := arpRequest, parseARPReply
	if addr.Is6() {
		question, parse = solicitation, parseAdvertisement
	}
	if err := w.Write(question(packet.MAC(w.MAC), source, addr)); err != nil {
		return nil, err
	}
	var answers []Answer
	buffer := make([]byte, 2048)
	for deadline := time.Now().Add(wait); ; {
		n, err := w.Read(buffer, deadline)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		frame, ok := packet.ParseEthernet(buffer[:n])
		if !ok || frame.Dst() != packet.MAC(w.MAC) {
			continue // announcements, and answers to others
		}
		if mac, ok := parse(frame, addr); ok {
			answers = append(answers, Answer{MAC: mac, Ethernet: frame.Src()})
		}
	}
}

// arpRequest returns a broadcast request (RFC 826).
func arpRequest(mac packet.MAC, source, target netip.Addr) []byte {
	b := make([]byte, packet.EthernetLen+28)
	packet.PutEthernet(b, packet.Broadcast, mac, packet.EtherTypeARP)
	a := b[packet.EthernetLen:]
	copy(a, []byte{0, 1, 8, 0, 6, 4, 0, 1})
	s, t := source.As4(), target.As4()
	copy(a[8:], mac[:])
	copy(a[14:], s[:])
	copy(a[24:], t[:])
	return b
}

func parseARPReply(frame packet.Ethernet, target netip.Addr) (mac packet.MAC, ok bool) {
	a := frame.Payload()
	if frame.Type() != packet.EtherTypeARP || len(a) < 28 {
		return mac, false
	}
	if binary.BigEndian.Uint16(a[6:]) != 2 || netip.AddrFrom4([4]byte(a[14:18])) != target {
		return mac, false
	}
	return packet.MAC(a[8:14]), true
}

// Types of RFC 4861 4.3, 4.4.
const (
	typeSolicitation  = 135
	typeAdvertisement = 136
)

// solicitation returns a multicast neighbour solicitation (RFC 4861 4.3).
func solicitation(mac packet.MAC, source, target netip.Addr) []byte {
	const length = 4 + 4 + 16 + 8
	group := packet.SolicitedNode(target)
	b := make([]byte, packet.EthernetLen+packet.IPv6Len+length)
	packet.PutEthernet(b, packet.MulticastMAC(group), mac, packet.EtherTypeIPv6)
	ip := packet.IPv6Header{NextHeader: packet.ProtoICMPv6, HopLimit: 255, Src: source, Dst: group}
	ip.Put(b[packet.EthernetLen:], length)
	m := b[packet.EthernetLen+packet.IPv6Len:]
	t := target.As16()
	m[0] = typeSolicitation
	copy(m[8:], t[:])
	m[24], m[25] = 1, 1 // source link-layer address option
	copy(m[26:], mac[:])
	sum := packet.PseudoHeader(source, group, packet.ProtoICMPv6, length)
	binary.BigEndian.PutUint16(m[2:], packet.Checksum(packet.Sum(sum, m)))
	return b
}

func parseAdvertisement(frame packet.Ethernet, target netip.Addr) (mac packet.MAC, ok bool) {
	ip, ok := packet.ParseIPv6(frame.Payload())
	if frame.Type() != packet.EtherTypeIPv6 || !ok || ip.NextHeader() != packet.ProtoICMPv6 {
		return mac, false
	}
	m := ip.Payload()
	if len(m) < 24 || m[0] != typeAdvertisement || netip.AddrFrom16([16]byte(m[8:24])) != target {
		return mac, false
	}
	for options := m[24:]; len(options) >= 8; {
		size := int(options[1]) * 8
		if size == 0 || size > len(options) {
			return mac, false
		}
		if options[0] == 2 { // target link-layer address
			return packet.MAC(options[2:8]), true
		}
		options = options[size:]
	}
	return frame.Src(), true
}
