package packet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

var (
	src4, dst4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	src6, dst6 = netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:2::1")
)

// segment makes a frame with a transport payload and the right checksum, and says
// where that is and what the pseudo header sums up to.
func segment(v6 bool, proto uint8, size int, seed uint64) (frame []byte, at int, pseudo uint16) {
	src, dst, header := src4, dst4, 20
	if v6 {
		src, dst, header = src6, dst6, 40
	}
	frame = make([]byte, EthernetLen+header+size)
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range frame {
		frame[i] = byte(random.Uint32())
	}
	ip := frame[EthernetLen:]
	if v6 {
		binary.BigEndian.PutUint16(frame[12:], EtherTypeIPv6)
		binary.BigEndian.PutUint16(ip[4:], uint16(size))
		ip[0], ip[6] = 0x60, proto
		copy(ip[8:], src.AsSlice())
		copy(ip[24:], dst.AsSlice())
	} else {
		binary.BigEndian.PutUint16(frame[12:], EtherTypeIPv4)
		binary.BigEndian.PutUint16(ip[2:], uint16(header+size))
		ip[0], ip[6], ip[7], ip[9] = 0x45, 0x40, 0, proto
		copy(ip[12:], src.AsSlice())
		copy(ip[16:], dst.AsSlice())
	}
	at = EthernetLen + header + map[uint8]int{ProtoTCP: 16, ProtoUDP: 6}[proto]
	sum := PseudoHeader(src, dst, proto, size)
	binary.BigEndian.PutUint16(frame[at:], 0)
	check := Checksum(Sum(sum, ip[header:]))
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(frame[at:], check)
	return frame, at, Fold(sum)
}

func TestAPartialChecksumIsCompleted(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, proto := range []uint8{ProtoTCP, ProtoUDP} {
			for size := 20; size < 120; size++ {
				want, at, pseudo := segment(v6, proto, size, uint64(size))
				got := bytes.Clone(want)
				binary.BigEndian.PutUint16(got[at:], pseudo)
				if CompleteTransport(got); !bytes.Equal(got, want) {
					t.Fatalf("IPv6 %v, protocol %d, %d bytes: %x, want %x", v6, proto, size, got[at:at+2], want[at:at+2])
				}
				if CompleteTransport(got); !bytes.Equal(got, want) {
					t.Fatalf("IPv6 %v, protocol %d, %d bytes: a right checksum was changed", v6, proto, size)
				}
			}
		}
	}
}

// Behind the packet there may be padding, which is not part of it.
func TestPaddingDoesNotCount(t *testing.T) {
	want, at, pseudo := segment(false, ProtoUDP, 8, 3)
	want = append(want, bytes.Repeat([]byte{0xa5}, 18)...)
	got := bytes.Clone(want)
	binary.BigEndian.PutUint16(got[at:], pseudo)
	if CompleteTransport(got); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got[at:at+2], want[at:at+2])
	}
}

// A checksum that is wrong stays wrong: the receiver shall see that.
func TestAWrongChecksumStaysWrong(t *testing.T) {
	want, at, _ := segment(false, ProtoTCP, 60, 5)
	want[at] ^= 0x10
	got := bytes.Clone(want)
	if CompleteTransport(got); !bytes.Equal(got, want) {
		t.Error("it was put right")
	}
}

// Fragments, other protocols, and UDP without a checksum are none of its business.
func TestOtherPacketsAreLeftAlone(t *testing.T) {
	change := func(name string, f func(frame []byte, at int)) {
		frame, at, pseudo := segment(false, ProtoUDP, 40, 7)
		binary.BigEndian.PutUint16(frame[at:], pseudo)
		f(frame, at)
		want := bytes.Clone(frame)
		if CompleteTransport(frame); !bytes.Equal(frame, want) {
			t.Errorf("%s: changed", name)
		}
	}
	change("first fragment", func(f []byte, _ int) { f[EthernetLen+6] = 0x20 })
	change("later fragment", func(f []byte, _ int) { f[EthernetLen+7] = 3 })
	change("another protocol", func(f []byte, _ int) { f[EthernetLen+9] = 132 })
	change("no checksum", func(f []byte, at int) { f[at], f[at+1] = 0, 0 })
	change("ARP", func(f []byte, _ int) { f[13] = 6 })
}

func FuzzCompleteTransport(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		frame, _, _ := segment(v6, ProtoTCP, 40, 1)
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		once := bytes.Clone(frame)
		CompleteTransport(once)
		twice := bytes.Clone(once)
		if CompleteTransport(twice); !bytes.Equal(once, twice) {
			t.Fatal("what was completed is completed again")
		}
		changed := 0
		for i := range frame {
			if frame[i] != once[i] {
				changed++
			}
		}
		if changed > 2 {
			t.Fatalf("%d bytes were changed", changed)
		}
	})
}

func BenchmarkCompleteTransport(b *testing.B) {
	for name, v6 := range map[string]bool{"IPv4": false, "IPv6": true} {
		b.Run(name, func(b *testing.B) {
			frame, _, _ := segment(v6, ProtoUDP, 26, 1)
			for b.Loop() {
				CompleteTransport(frame)
			}
		})
	}
}
