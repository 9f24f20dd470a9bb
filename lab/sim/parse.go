package sim

import (
	"encoding/binary"
	"time"
)

// The eyes of the checkers: what a frame says, read byte by byte, without a
// line of the router's own codecs.

// said is what a frame says of virtual routers.
type said struct {
	srcMAC [6]byte
	advert *heardAdvert
	claims []byte // the address that ARP or NA says is at claimMAC; nil: none
	claim  [6]byte
	notice bool // the claim is an announcement: gratuitous ARP, unsolicited NA to all
}

// heardAdvert is an advertisement.
type heardAdvert struct {
	version, vrid, priority byte
	v6                      bool
	src                     []byte
	interval                time.Duration
}

const (
	protoUDP    = 17
	protoAH     = 51
	protoICMPv6 = 58
	protoVRRP   = 112
)

// read reads a frame.
func read(frame []byte) said {
	var s said
	if len(frame) < 14 {
		return s
	}
	s.srcMAC = [6]byte(frame[6:12])
	b := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0806:
		if len(b) >= 28 && (b[14]|b[15]|b[16]|b[17]) != 0 {
			s.claims, s.claim = b[14:18], [6]byte(b[8:14])
			s.notice = [4]byte(b[14:18]) == [4]byte(b[24:28]) && frame[0] == 0xff
		}
	case 0x0800:
		switch {
		case len(b) >= 20 && b[9] == protoVRRP && b[0] == 0x45:
			s.advert = readAdvert(b[20:], b[12:16])
		case len(b) >= 44 && b[9] == protoAH && b[20] == protoVRRP && b[0] == 0x45:
			s.advert = readAdvert(b[44:], b[12:16])
		}
	case 0x86dd:
		if len(b) < 40 {
			return s
		}
		switch m := b[40:]; {
		case b[6] == protoVRRP:
			s.advert = readAdvert(m, b[8:24])
		case b[6] == protoICMPv6 && len(m) >= 24 && m[0] == 136:
			s.claims, s.claim = m[8:24], s.srcMAC
			s.notice = b[24] == 0xff && m[4]&0x60 == 0x20
		}
	}
	return s
}

// readAdvert reads an advertisement (RFC 9568 5.2, RFC 3768 5.3).
func readAdvert(m, src []byte) *heardAdvert {
	if len(m) < 8 {
		return nil
	}
	a := &heardAdvert{version: m[0] >> 4, vrid: m[1], priority: m[2], v6: len(src) == 16, src: src}
	if a.version == 2 {
		a.interval = time.Duration(m[5]) * time.Second
	} else {
		a.interval = time.Duration(binary.BigEndian.Uint16(m[4:])&0xfff) * 10 * time.Millisecond
	}
	return a
}

// probeOf returns the number of the probe that a frame carries.
func probeOf(frame []byte) (probeID, bool) {
	var b []byte
	switch {
	case len(frame) >= 14+20+20 && frame[12] == 8 && frame[13] == 0 && frame[14] == 0x45 && frame[14+9] == protoUDP:
		b = frame[14+20+8:]
	case len(frame) >= 14+40+20 && frame[12] == 0x86 && frame[14+6] == protoUDP:
		b = frame[14+40+8:]
	default:
		return probeID{}, false
	}
	if binary.BigEndian.Uint32(b) != probeMagic {
		return probeID{}, false
	}
	return probeID{int(binary.BigEndian.Uint32(b[4:])), int(binary.BigEndian.Uint32(b[8:]))}, true
}
