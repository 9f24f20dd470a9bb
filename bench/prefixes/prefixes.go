// Package prefixes makes routing tables that look like the Internet's, as large
// as one likes, the same for the same seed: what benchmarks and tests of
// routes at scale load.
//
// Like the Internet's are: the share of each prefix length; that the address
// space is used unevenly, so that some /16 (IPv4) or /32 (IPv6) holds hundreds
// of prefixes and most hold few or none; and that more than half of all
// prefixes lie inside another one (in a table of a million). Which addresses
// they are means nothing.
//
// The shares are those of the default-free zone in 2024 (bgp.potaroo.net,
// AS131072), rounded: IPv4 with 60 % of /24, IPv6 with 46 % of /48 and an
// average length of 43.
package prefixes

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
)

// share is how many of 100,000 prefixes have a length.
type share struct{ length, parts int }

var shares4 = []share{
	{8, 2},
	{9, 2},
	{10, 5},
	{11, 11},
	{12, 32},
	{13, 62},
	{14, 125},
	{15, 220},
	{16, 1410},
	{17, 880},
	{18, 1480},
	{19, 2620},
	{20, 4650},
	{21, 5150},
	{22, 11200},
	{23, 10351},
	{24, 61800},
}

var shares6 = []share{
	{20, 20},
	{24, 30},
	{28, 180},
	{29, 2400},
	{30, 350},
	{31, 220},
	{32, 11600},
	{33, 2400},
	{34, 1900},
	{35, 1000},
	{36, 5000},
	{37, 700},
	{38, 1500},
	{39, 700},
	{40, 10400},
	{41, 700},
	{42, 2600},
	{43, 700},
	{44, 8000},
	{45, 1100},
	{46, 2500},
	{47, 2000},
	{48, 44000},
}

// fill makes n different prefixes with those shares, of what draw makes of a
// length, and shuffles them.
func fill(r *rand.Rand, n int, shares []share, draw func(length int) (netip.Prefix, bool)) []netip.Prefix {
	seen, all := make(map[netip.Prefix]bool, n), make([]netip.Prefix, 0, n)
	for i, s := range shares {
		most := len(all) + n*s.parts/100_000
		if i == len(shares)-1 {
			most = n // what rounding has left over
		}
		for len(all) < most {
			if p, ok := draw(s.length); ok && !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	r.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// IPv4 returns n different prefixes, in no order; n is at most 2 million. None
// is in 0/8, 10/8, 127/8 or above 223/8, nor one of the documentation prefixes
// (RFC 5737), which benchmarks use for their links.
func IPv4(seed uint64, n int) []netip.Prefix {
	r := rand.New(rand.NewPCG(seed, 4))
	blocks := blocks(r, 1<<16)
	return fill(r, n, shares4, func(length int) (netip.Prefix, bool) {
		block := blocks.draw(r)
		for length <= 16 && blocks.holds(block) {
			block = r.Uint32() >> 16 // whoever has so much announces it as a whole
		}
		a := (block<<16 | r.Uint32()>>16) &^ (1<<(32-length) - 1)
		if first := a >> 24; first == 0 || first == 10 || first == 127 || first > 223 || documentation(a, length) {
			return netip.Prefix{}, false
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], a)
		return netip.PrefixFrom(netip.AddrFrom4(b), length), true
	})
}

// documentation reports whether an IPv4 prefix overlaps one of RFC 5737.
func documentation(a uint32, length int) bool {
	for _, d := range [...]uint32{0xc0000200, 0xc6336400, 0xcb007100} {
		if m := ^uint32(0) << (32 - min(length, 24)); a&m == d&m {
			return true
		}
	}
	return false
}

// IPv6 returns n different prefixes of 2000::/3, in no order; n is at most 2
// million. None is in 2001:db8::/32.
func IPv6(seed uint64, n int) []netip.Prefix {
	r := rand.New(rand.NewPCG(seed, 6))
	blocks := blocks(r, 1<<16)
	return fill(r, n, shares6, func(length int) (netip.Prefix, bool) {
		// A network has a block of one of five registries, and its plan uses the
		// beginnings of sites.
		block := blocks.draw(r)
		for length < 32 && blocks.holds(block) {
			block = r.Uint32() >> 16
		}
		registry := [...]uint32{0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00}[block%5]
		site := uint64(r.Uint32())
		if r.IntN(3) > 0 {
			site &= 0xff0f0000
		}
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], uint64(registry<<16|block<<4|block>>12)<<32|site)
		return netip.PrefixFrom(netip.AddrFrom16(b), length).Masked(), true
	})
}

// Addresses returns n addresses inside the prefixes: first one in each of
// them, in a random order, then again.
func Addresses(seed uint64, in []netip.Prefix, n int) []netip.Addr {
	r := rand.New(rand.NewPCG(seed, 1))
	order, all := r.Perm(len(in)), make([]netip.Addr, n)
	for i := range all {
		all[i] = within(r, in[order[i%len(order)]])
	}
	return all
}

// within returns a random address of a prefix.
func within(r *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	at := p.Bits()
	if p.Addr().Is4() {
		at += 96
	}
	for ; at < 128; at++ {
		if r.Uint32()&1 != 0 {
			b[at/8] |= 0x80 >> (at % 8)
		}
	}
	return netip.AddrFrom16(b).Unmap()
}

// density says how likely each of many blocks is to hold a prefix, as running
// sums.
type density []float64

// blocks makes n blocks, of which every 256 in sequence are alike: of some the
// most are empty, of others few. Those that are not differ by a factor of
// hundreds (log-normal).
func blocks(r *rand.Rand, n int) density {
	d, sum, empty := make(density, n), 0.0, 0.0
	for i := range d {
		if i%256 == 0 {
			empty = [...]float64{0.05, 0.15, 0.9}[r.IntN(3)]
		}
		if r.Float64() > empty {
			sum += math.Exp(1.3 * r.NormFloat64())
		}
		d[i] = sum
	}
	return d
}

// holds reports whether a block is not empty.
func (d density) holds(block uint32) bool {
	return d[block] > 0 && (block == 0 || d[block] > d[block-1])
}

// draw returns a block.
func (d density) draw(r *rand.Rand) uint32 {
	at := r.Float64() * d[len(d)-1]
	low, high := 0, len(d)-1
	for low < high {
		if mid := (low + high) / 2; d[mid] <= at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return uint32(low)
}
