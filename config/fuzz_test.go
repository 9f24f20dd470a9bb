package config

import (
	"bytes"
	"errors"
	"net/netip"
	"sort"
	"strings"
	"testing"
	"time"
)

// FuzzParse checks what holds for every text: no panic; errors are sorted,
// within the file and one line each; and a Config that is returned keeps what
// others rely on.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, err := Parse("f", text)
		if err == nil {
			sound(t, cfg)
			return
		}
		var errs Errors
		if !errors.As(err, &errs) || len(errs) == 0 || cfg != nil {
			t.Fatalf("error %T %v with config %v", err, err, cfg)
		}
		if !sort.SliceIsSorted(errs, func(i, j int) bool { return errs[i].Line < errs[j].Line }) {
			t.Errorf("not sorted: %v", errs)
		}
		lines := bytes.Count(text, []byte("\n")) + 1
		for _, e := range errs {
			if e.Line < 1 || e.Line > lines || strings.Contains(e.Message, "\n") || !strings.Contains(e.Message, "; ") {
				t.Errorf("%q in %d lines", e, lines)
			}
		}
	})
}

// sound checks what a Config promises.
func sound(t *testing.T, cfg *Config) {
	t.Helper()
	for i := range cfg.Interfaces {
		itf := &cfg.Interfaces[i]
		got, ok := cfg.Interface(itf.Name)
		if !ok || got != itf {
			t.Errorf("interface %q is not found by its name", itf.Name)
		}
		if itf.Device == "" || itf.Queues < 1 || itf.HostAddrs != (len(itf.Addresses) == 0) {
			t.Errorf("interface %+v", itf)
		}
	}
	for i := range cfg.VRRP {
		v := &cfg.VRRP[i]
		if _, ok := cfg.Interface(v.Interface); !ok {
			t.Errorf("virtual router %q on no interface", v.Name)
		}
		if v.Name == "" || v.VRID == 0 || v.Priority == 0 || len(v.Addresses) == 0 || len(v.Addresses) > 255 {
			t.Fatalf("virtual router %+v", v)
		}
		if v.IPv6() && (!v.Addresses[0].IsLinkLocalUnicast() || v.Version != 3) {
			t.Errorf("virtual router %q: version %d, first address %s", v.Name, v.Version, v.Addresses[0])
		}
		unit, low, high := 10*time.Millisecond, 10*time.Millisecond, 40950*time.Millisecond
		if v.Version == 2 {
			unit, low, high = time.Second, time.Second, 255*time.Second
		}
		if v.Interval < low || v.Interval > high || v.Interval%unit != 0 {
			t.Errorf("virtual router %q: version %d, interval %s", v.Name, v.Version, v.Interval)
		}
		seen := map[netip.Addr]bool{}
		for _, a := range append(v.Addresses[:len(v.Addresses):len(v.Addresses)], v.Peers...) {
			if seen[a] || a.Is6() != v.IPv6() || a.Zone() != "" || a.Is4In6() {
				t.Errorf("virtual router %q: address %s", v.Name, a)
			}
			seen[a] = true
		}
	}
	for _, r := range cfg.Routes {
		if r.To != r.To.Masked() || (r.Type == RouteUnicast) != (len(r.Via) > 0) {
			t.Errorf("route %+v", r)
		}
		for _, hop := range r.Via {
			if _, ok := cfg.Interface(hop.Interface); !ok || hop.Address.Zone() != "" || hop.Address.Is6() != r.To.Addr().Is6() {
				t.Errorf("route to %s: next hop %+v", r.To, hop)
			}
		}
	}
}
