package main

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vrouter/bench/harness"
	"vrouter/internal/netlab"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == plainMode {
		main()
		return
	}
	os.Exit(netlab.Main(m))
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-v4", "0"}, {"-rounds", "0"}, {"-losses", "-1"}, {"more"}, {"-what"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// The whole measurement with a small table: it shows that the meter works, not how
// good the router is.
func TestMeasuresASmallTable(t *testing.T) {
	if err := netlab.Unavailable(); err != nil {
		t.Skip(err)
	}
	if testing.Short() {
		t.Skip("half a minute")
	}
	for _, program := range []string{"bird", "birdc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	o, err := parseOptions([]string{"-v4", "2000", "-v6", "500", "-rounds", "1", "-losses", "1"})
	if err != nil {
		t.Fatal(err)
	}
	program, done, err := harness.Program(o.binary)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	b, err := newTestbed(o, program)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	r := &report{options: *o, begin: time.Now()}
	if err := r.measure(ctx, b); err != nil {
		t.Fatalf("%v\n%s", err, b.logs())
	}
	if len(r.plain) != 1 || len(r.ours) != 1 || r.plain[0].took <= 0 || r.ours[0].took <= 0 || r.ours[0].router.most == 0 || r.ours[0].bgp.most == 0 {
		t.Errorf("implausible: %+v %+v", r.plain, r.ours)
	}
	if len(r.lost) != 3 {
		t.Fatalf("%d losses", len(r.lost))
	}
	for _, l := range r.lost {
		// A second each would be lost where nothing else were known.
		if l.detection < 0 || l.lost > 3500 || len(l.late) == 0 {
			t.Errorf("implausible: %+v", l)
		}
	}
	page := r.markdown()
	t.Log(page)
	for _, part := range []string{"# BGP at scale", " 2500 prefixes", byLink, byBFD, byBGP, picture} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	if strings.Contains(page, "%!") {
		t.Error(page)
	}
}

// An outage is the longest series of lost packets; others are counted.
func TestOutage(t *testing.T) {
	now := time.Now()
	s := &stream{}
	for i, c := range "....x..xxxx.x" {
		at := now.Add(time.Duration(i) * time.Millisecond)
		s.sent = append(s.sent, at)
		if c == 'x' {
			at = time.Time{}
		}
		s.arrived = append(s.arrived, at)
	}
	o := s.outage(1, 100)
	if o.sent != 12 || o.lost != 6 || !o.first.Equal(now.Add(7*time.Millisecond)) || !o.last.Equal(now.Add(10*time.Millisecond)) {
		t.Errorf("%+v", o)
	}
	if o = s.outage(0, 4); o.sent != 4 || o.lost != 0 || !o.first.IsZero() {
		t.Errorf("of what is not lost: %+v", o)
	}
	if o = s.outage(9, 11); o.sent != 2 || o.lost != 2 || !o.last.Equal(now.Add(10*time.Millisecond)) {
		t.Errorf("at the end: %+v", o)
	}
}

func TestLateAdvertisements(t *testing.T) {
	now := time.Now()
	a := &adverts{}
	for _, ms := range []int{0, 100, 203, 290, 400} {
		a.at = append(a.at, now.Add(time.Duration(ms)*time.Millisecond))
	}
	want := []time.Duration{0, 3 * time.Millisecond, 10 * time.Millisecond}
	if got := a.late(now.Add(150*time.Millisecond), now.Add(time.Second)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if p := percentile(want, 50); p != want[1] {
		t.Errorf("median %v", p)
	}
	if percentile(want, 100) != want[2] || percentile(nil, 50) != 0 {
		t.Error("percentiles")
	}
}

// What BIRD is given has every prefix once, and prefixes of a block the same path.
func TestRoutesForBIRD(t *testing.T) {
	dir := t.TempDir()
	four := []netip.Prefix{netip.MustParsePrefix("1.2.0.0/24"), netip.MustParsePrefix("1.2.1.0/24"), netip.MustParsePrefix("9.9.0.0/16")}
	six := []netip.Prefix{netip.MustParsePrefix("2600:1::/48")}
	if err := originate(dir, four, six); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "routes4.conf"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	path := func(line string) string { _, p, _ := strings.Cut(line, " blackhole "); return p }
	if len(lines) != 3 || path(lines[0]) == "" || path(lines[0]) != path(lines[1]) || path(lines[0]) == path(lines[2]) {
		t.Errorf("%q", lines)
	}
	if text, err = os.ReadFile(filepath.Join(dir, "routes6.conf")); err != nil || !strings.HasPrefix(string(text), "route 2600:1::/48 blackhole {") {
		t.Errorf("%q, %v", text, err)
	}
}

func TestStamps(t *testing.T) {
	out := "noise\n" + lineEstablished + " 5000000000\nestablishedx 7\n"
	if got := stamp(out, lineEstablished); got.Unix() != 5 {
		t.Errorf("%v", got)
	}
	if got := stamp(out, lineComplete); !got.IsZero() {
		t.Errorf("%v", got)
	}
}
