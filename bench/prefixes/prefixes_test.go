package prefixes

import (
	"net/netip"
	"slices"
	"testing"
)

// properties are what a table has that the Internet's has.
type properties struct {
	average float64 // length
	nested  float64 // share of prefixes inside another one
	longest float64 // share of /24 or /48
}

// measure checks that prefixes are masked and differ, and tells their
// properties.
func measure(t *testing.T, all []netip.Prefix) (p properties) {
	t.Helper()
	seen := make(map[netip.Prefix]bool, len(all))
	for _, prefix := range all {
		if seen[prefix] || prefix != prefix.Masked() {
			t.Fatalf("%s is there twice, or not masked", prefix)
		}
		seen[prefix] = true
	}
	for _, prefix := range all {
		bits := prefix.Bits()
		p.average += float64(bits)
		if bits == 24 && prefix.Addr().Is4() || bits == 48 {
			p.longest++
		}
		for l := bits - 1; l >= 8; l-- {
			if seen[netip.PrefixFrom(prefix.Addr(), l).Masked()] {
				p.nested++
				break
			}
		}
	}
	n := float64(len(all))
	return properties{p.average / n, p.nested / n, p.longest / n}
}

func between(got, low, high float64) bool { return got >= low && got <= high }

func TestTablesLookLikeTheInternets(t *testing.T) {
	four := IPv4(1, 300_000)
	if p := measure(t, four); len(four) != 300_000 || !between(p.average, 22.5, 23.2) || !between(p.nested, 0.35, 0.75) || !between(p.longest, 0.58, 0.63) {
		t.Errorf("IPv4: %d, %+v", len(four), p)
	}
	six := IPv6(1, 100_000)
	if p := measure(t, six); len(six) != 100_000 || !between(p.average, 42, 43.5) || !between(p.nested, 0.35, 0.75) || !between(p.longest, 0.43, 0.48) {
		t.Errorf("IPv6: %d, %+v", len(six), p)
	}
	reserved := []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3"),
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32"),
	}
	for _, p := range slices.Concat(four, six) {
		if slices.ContainsFunc(reserved, p.Overlaps) {
			t.Errorf("%s is reserved", p)
		}
	}
}

func TestASeedRepeatsATable(t *testing.T) {
	if !slices.Equal(IPv4(7, 5000), IPv4(7, 5000)) || !slices.Equal(IPv6(7, 5000), IPv6(7, 5000)) {
		t.Error("the same seed made another table")
	}
	if slices.Equal(IPv4(7, 5000), IPv4(8, 5000)) || slices.Equal(IPv6(7, 5000), IPv6(8, 5000)) {
		t.Error("another seed made the same table")
	}
}

// A table of any size has its prefixes in a random order: one that came sorted
// would load faster than any that BGP announces.
func TestPrefixesComeInNoOrder(t *testing.T) {
	for _, n := range []int{0, 1, 10, 1000} {
		if a, b := IPv4(3, n), IPv6(3, n); len(a) != n || len(b) != n {
			t.Errorf("%d and %d prefixes, want %d", len(a), len(b), n)
		}
	}
	all, rising := IPv4(3, 1000), 0
	for i := 1; i < len(all); i++ {
		if all[i-1].Addr().Less(all[i].Addr()) {
			rising++
		}
	}
	if rising < 400 || rising > 600 {
		t.Errorf("%d of 1000 rise", rising)
	}
}

func TestAddressesLieInTheirPrefixes(t *testing.T) {
	for _, all := range [][]netip.Prefix{IPv4(1, 100), IPv6(1, 100)} {
		addresses := Addresses(5, all, 250)
		if !slices.Equal(addresses, Addresses(5, all, 250)) {
			t.Error("the same seed made other addresses")
		}
		hit := map[netip.Prefix]int{}
		for i, a := range addresses {
			found := false
			for _, p := range all {
				if p.Contains(a) {
					found = true
					hit[p]++
				}
			}
			if !found {
				t.Fatalf("%s, number %d, is in no prefix", a, i)
			}
		}
		if len(hit) != len(all) {
			t.Errorf("%d of %d prefixes have an address", len(hit), len(all))
		}
	}
}
