package vrrp

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 2403 asks for it
	"crypto/subtle"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"

	"vrouter/packet"
)

// Authentication is of version 2 alone, and RFC 3768 took it out: a password
// that stands in each packet is read by whoever could send a false one, and
// neither keeps anybody from answering ARP. It is here because what is deployed
// asks for it.
//
// The authentication header is that of RFC 2402 between the IP header and the
// advertisement, with HMAC-MD5-96 (RFC 2403):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------+---------------+-------------------------------+
//	| Next Hdr: 112 |   Length: 4   |          Reserved: 0          |
//	+---------------+---------------+-------------------------------+
//	|            Security Parameters Index: the source              |
//	+---------------------------------------------------------------+
//	|                       Sequence Number                         |
//	+---------------------------------------------------------------+
//	|           Integrity Check Value (first 96 bits)               |
//	|                                                               |
//	|                                                               |
//	+---------------------------------------------------------------+
//
// RFC 2338 leaves open what index a multicast sender uses; keepalived made the
// sender's address the custom. The integrity check covers the IP header with
// its mutable fields zero (type of service, flags and offset, TTL, checksum),
// this header with the check zero, and the advertisement. keepalived does not
// zero the TTL of what goes to the group. Both readings are accepted (the TTL
// must be 255 in either); keepalived's is sent, for nobody else is left to
// hear the other.

// AuthHeaderLen is the length of the authentication header with its 96 bits of
// integrity check, in bytes.
const AuthHeaderLen = 24

const (
	icvOffset    = 12                  // of the integrity check in the header
	authWords    = AuthHeaderLen/4 - 2 // the length field counts 32-bit words, less two (RFC 2402 2.2)
	willLead     = 2                   // see WillSequence
	maxHeardFrom = 32                  // senders whose sequence numbers are remembered

	// One advertisement is sent in a second, and some that lesser masters provoke.
	// The numbers last until 2038; from then on they begin at 1.
	sequencesPerSecond = 2
)

// ParseIPv4 is Parse for a whole IPv4 packet that is no fragment: an
// advertisement, plain or in an authentication header. Whether that is genuine
// only the virtual router can tell, whose key it is: Machine.Receive does. Until
// then ip must not change.
func ParseIPv4(ip packet.IPv4) (Advertisement, Reason) {
	if ip.Protocol() != packet.ProtoAH {
		return Parse(ip.Src(), ip.Dst(), ip.TTL(), ip.Payload())
	}
	b := ip.Payload()
	if len(b) < AuthHeaderLen || b[0] != Protocol || b[1] != authWords {
		return Advertisement{}, ReasonAuthHeader
	}
	a, r := Parse(ip.Src(), ip.Dst(), ip.TTL(), b[AuthHeaderLen:])
	switch {
	case r != ReasonNone:
		return a, r
	case a.AuthType != AuthAH:
		return a, ReasonAuthType // authenticated, but says that it is not
	}
	a.sealed = ip
	return a, ReasonNone
}

// Seal fills in the authentication header of an advertisement. ip is the whole
// packet, its own header complete with protocol 51, and AuthHeaderLen bytes
// between that and the advertisement free.
func Seal(ip packet.IPv4, key string, sequence uint32) {
	h := ip[ip.HeaderLen():]
	copy(h, []byte{Protocol, authWords, 0, 0})
	copy(h[4:8], ip[12:16])
	binary.BigEndian.PutUint32(h[8:], sequence)
	check := icv(ip, key, ip.Dst().IsMulticast())
	copy(h[icvOffset:AuthHeaderLen], check[:])
}

// icv computes the integrity check of a packet (RFC 2402 3.3.3). withTTL leaves
// the TTL as it is.
func icv(ip packet.IPv4, key string, withTTL bool) (check [AuthHeaderLen - icvOffset]byte) {
	var head [packet.IPv4Len + AuthHeaderLen]byte
	copy(head[:], ip[:packet.IPv4Len])
	copy(head[packet.IPv4Len:], ip[ip.HeaderLen():ip.HeaderLen()+icvOffset])
	head[1] = 0               // type of service
	head[6], head[7] = 0, 0   // flags, fragment offset
	head[10], head[11] = 0, 0 // header checksum
	if !withTTL {
		head[8] = 0
	}
	mac := hmac.New(md5.New, []byte(key))
	mac.Write(head[:])
	mac.Write(ip[ip.HeaderLen()+AuthHeaderLen:])
	copy(check[:], mac.Sum(nil))
	return check
}

// genuine reports whether the integrity check of a packet is right by one of
// its two readings. An IP header with options, which no sender of
// advertisements writes, is not.
func genuine(ip packet.IPv4, key string) bool {
	if ip.HeaderLen() != packet.IPv4Len {
		return false
	}
	got := ip[packet.IPv4Len+icvOffset : packet.IPv4Len+AuthHeaderLen]
	kept, zeroed := icv(ip, key, true), icv(ip, key, false)
	return subtle.ConstantTimeCompare(got, kept[:])|subtle.ConstantTimeCompare(got, zeroed[:]) == 1
}

// authData returns the authentication data of our advertisements: the password,
// filled up with zeros (RFC 2338 5.3.10).
func (a *Auth) authData() (data [authDataLen]byte) {
	if a.Type == AuthPassword {
		copy(data[:], a.Key)
	}
	return data
}

// sequences are what an authentication header's sequence numbers are judged
// and made by.
type sequences struct {
	highest uint32 // sent by us or heard from anybody
	begun   bool   // we have sent one
	heard   []heardSequence
}

// heardSequence is the highest number that a sender has used.
type heardSequence struct {
	from   netip.Addr
	number uint32
}

// authenticate checks that an advertisement comes from somebody with our key
// (RFC 2338 7.1), and is no old one sent again.
func (m *Machine) authenticate(src netip.Addr, adv *Advertisement) Reason {
	auth := &m.cfg.Auth
	switch {
	case adv.Version != 2:
		return ReasonNone
	case adv.AuthType != auth.Type, auth.Type == AuthAH && adv.sealed == nil:
		return ReasonAuthType
	case auth.Type == AuthPassword:
		want := auth.authData()
		if subtle.ConstantTimeCompare(adv.AuthData[:], want[:]) == 0 {
			return ReasonAuthPassword
		}
	case auth.Type == AuthAH:
		h := adv.sealed.Payload()
		if !genuine(adv.sealed, auth.Key) || src != netip.AddrFrom4([4]byte(h[4:])) {
			return ReasonAuthHeader
		}
		return m.sequences.accept(src, binary.BigEndian.Uint32(h[8:]))
	}
	return ReasonNone
}

// accept judges the sequence number of a genuine packet: it must be above all
// that its sender has used before (RFC 2402 3.4.3; there is no window, since
// the order of advertisements on a link does not change). Of a sender that was
// never heard any number is good.
func (s *sequences) accept(src netip.Addr, number uint32) Reason {
	i := slices.IndexFunc(s.heard, func(h heardSequence) bool { return h.from == src })
	if i >= 0 && number <= s.heard[i].number {
		return ReasonAuthReplay
	}
	if i >= 0 {
		s.heard = slices.Delete(s.heard, i, i+1)
	} else if len(s.heard) == maxHeardFrom {
		s.heard = slices.Delete(s.heard, 0, 1) // who was silent for longest
	}
	s.heard = append(s.heard, heardSequence{src, number})
	s.highest = max(s.highest, number)
	return ReasonNone
}

// NextSequence returns the sequence number for the authentication header of the
// advertisement that is sent now, one for each.
//
// keepalived has one counter for all that it sends and hears, of whomever, and
// discards what is not above it. So ours is above all that was heard, too. The
// first is not below the time in half seconds either, more than are sent
// but for moments: a router that starts anew is heard at once, though it may not
// hear the others whose counters stand high.
func (m *Machine) NextSequence(now time.Time) uint32 {
	m.sequences.highest = m.sequences.after(now, 1)
	m.sequences.begun = true
	return m.sequences.highest
}

// WillSequence returns a sequence number for an advertisement that is prepared
// now, to be sent if this router dies: ahead of NextSequence, so that it is
// still good after one more advertisement. By then it must be prepared anew. Not
// further ahead: the next life of a router that does not hear the others begins
// with the time, three seconds later at the earliest, and must be above what its
// last will has used.
func (m *Machine) WillSequence(now time.Time) uint32 { return m.sequences.after(now, willLead) }

// after returns the number that is n above the highest. At the end of the
// numbers, which no sender of one packet each second comes to, it stays there:
// it must not begin anew (RFC 2402 3.3.2).
func (s *sequences) after(now time.Time, n uint32) uint32 {
	highest := s.highest
	if first := now.Unix() * sequencesPerSecond; !s.begun && first > int64(highest) && first <= math.MaxUint32 {
		highest = uint32(first) - 1
	}
	return highest + min(n, math.MaxUint32-highest)
}
