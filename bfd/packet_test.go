package bfd

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"vrouter/packet"
)

var (
	ours  = netip.MustParseAddr("203.0.113.2")
	peers = netip.MustParseAddr("203.0.113.1")
)

// golden is a packet with a line for each field (RFC 5880 4.1, RFC 5881 4).
const golden = "" +
	"c000" + // source port 49152
	"0ec8" + // destination port 3784
	"0020" + // length 32
	"80f3" + // checksum
	"21" + // version 1, control detection time expired
	"a0" + // Init is 2: 10; Poll; no Final, C, A, D, M
	"03" + // detect multiplier
	"18" + // length 24
	"00000007" + // my discriminator
	"00000009" + // your discriminator
	"000f4240" + // desired min TX: 1 s
	"0000c350" + // required min RX: 50 ms
	"00000000" // required min echo RX

func goldenPacket() Packet {
	return Packet{
		Diagnostic: TimeExpired, State: Init, Poll: true, Multiplier: 3, Mine: 7, Yours: 9,
		DesiredTX: time.Second, RequiredRX: 50 * time.Millisecond,
	}
}

func TestGoldenPacket(t *testing.T) {
	want, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	p := goldenPacket()
	got := p.AppendUDP(nil, ours, peers, 49152)
	binary.BigEndian.PutUint16(want[6:], binary.BigEndian.Uint16(got[6:])) // checked below by summing
	if !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if sum := slowChecksum(ours, peers, got); sum != 0xffff {
		t.Errorf("checksum: the sum is %#x", sum)
	}
	back, reason := Parse(ours, peers, TTL, got)
	if reason != OK || back != p {
		t.Errorf("%+v, %v", back, reason)
	}
}

// slowChecksum sums as RFC 768 says, word by word.
func slowChecksum(src, dst netip.Addr, udp []byte) uint16 {
	pseudo := append(append([]byte(nil), src.AsSlice()...), dst.AsSlice()...)
	pseudo = append(pseudo, 0, packet.ProtoUDP, byte(len(udp)>>8), byte(len(udp)))
	var sum uint32
	for _, part := range [][]byte{pseudo, udp} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(part[i])<<8 | uint32(part[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// One test for each rule of RFC 5880 6.8.6 and RFC 5881 that needs no session.
func TestPacketsThatAreDiscarded(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(udp []byte)
		ttl    uint8
		want   Reason
	}{
		{"as it is", func([]byte) {}, 255, OK},
		{"RFC 5881 5: TTL below 255", func([]byte) {}, 254, BadTTL},
		{"6.8.6: version 0", func(b []byte) { b[8] = b[8]&0x1f | 0<<5 }, 255, BadVersion},
		{"6.8.6: version 2", func(b []byte) { b[8] = b[8]&0x1f | 2<<5 }, 255, BadVersion},
		{"6.8.6: length below 24", func(b []byte) { b[11] = 23 }, 255, Short},
		{"6.8.6: length beyond the payload", func(b []byte) { b[11] = 25 }, 255, Short},
		{"6.8.6: detect multiplier zero", func(b []byte) { b[10] = 0 }, 255, BadMultiplier},
		{"6.8.6: multipoint bit", func(b []byte) { b[9] |= flagMultipoint }, 255, Multipoint},
		{"6.8.6: my discriminator zero", func(b []byte) { copy(b[12:], []byte{0, 0, 0, 0}) }, 255, BadMine},
		{"6.8.6: your discriminator zero in Init", func(b []byte) { copy(b[16:], []byte{0, 0, 0, 0}) }, 255, BadYours},
		{"6.8.6: your discriminator zero in Up", func(b []byte) { b[9] |= 0xc0; copy(b[16:], []byte{0, 0, 0, 0}) }, 255, BadYours},
		{"6.8.6: your discriminator zero in Down is fine", func(b []byte) { b[9] = 0x40; copy(b[16:], []byte{0, 0, 0, 0}) }, 255, OK},
		{"6.8.6: authentication that we do not use", func(b []byte) { b[9] |= flagAuth }, 255, Authenticated},
		{"UDP length beyond the packet", func(b []byte) { b[5] = 33 }, 255, Short},
	} {
		p := goldenPacket()
		udp := p.AppendUDP(nil, ours, peers, 49152)
		test.change(udp)
		udp[6], udp[7] = 0, 0 // no checksum (RFC 768)
		if _, reason := Parse(ours, peers, test.ttl, udp); reason != test.want {
			t.Errorf("%s: %v, want %v", test.name, reason, test.want)
		}
	}
}

func TestChecksumsAreChecked(t *testing.T) {
	src6, dst6 := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")
	for _, pair := range [][2]netip.Addr{{ours, peers}, {src6, dst6}} {
		p := goldenPacket()
		udp := p.AppendUDP(nil, pair[0], pair[1], 50000)
		if _, reason := Parse(pair[0], pair[1], TTL, udp); reason != OK {
			t.Errorf("%v: %v", pair, reason)
		}
		udp[20] ^= 1
		if _, reason := Parse(pair[0], pair[1], TTL, udp); reason != BadChecksum {
			t.Errorf("%v, damaged: %v", pair, reason)
		}
		udp[6], udp[7] = 0, 0
		want := OK
		if pair[0].Is6() {
			want = BadChecksum // RFC 8200 8.1
		}
		if _, reason := Parse(pair[0], pair[1], TTL, udp); reason != want {
			t.Errorf("%v, no checksum: %v, want %v", pair, reason, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, _ := hex.DecodeString(golden)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, reason := Parse(ours, peers, TTL, b)
		if reason != OK {
			return
		}
		again, reason := Parse(ours, peers, TTL, p.AppendUDP(nil, ours, peers, 50000))
		if reason != OK || again != p {
			t.Fatalf("%+v became %+v, %v", p, again, reason)
		}
		s := New(Config{Interval: 10 * time.Millisecond, Multiplier: 3, Discriminator: 1})
		s.Start(start)
		s.Receive(start, &p)
		if d := s.Deadline(); !d.IsZero() && d.Sub(start) > time.Duration(1<<32)*255*time.Microsecond {
			t.Fatalf("deadline %v", d)
		}
	})
}
