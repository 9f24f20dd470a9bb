package router

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/packet"
)

const raConfig = `
[[interface]]
name = "lan"
attach = "af_packet"
device = "eth1"
addresses = ["2001:db8:1::2/64"]

[interface.ra]
interval = "%s"
lifetime = "30m"
prefixes = ["2001:db8:1::/64"]
rdnss = ["2001:db8:1::53"]
managed = true
other = true

[[vrrp]]
name = "lan6"
interface = "lan"
vrid = 10
interval = "100ms"
addresses = ["fe80::1", "2001:db8:1::1"]
garp_repeat = 1
garp_refresh = "0s"
`

// raTimes returns when the router advertises itself within a time.
func raTimes(s *script, within time.Duration) (times []time.Time) {
	s.quiet = true
	for end := s.now.Add(within); ; {
		deadline := s.router.Deadline()
		if deadline.After(end) {
			s.now = end
			return times
		}
		s.now = deadline
		actions := s.router.Advance(s.now)
		s.verify(actions)
		for _, a := range actions {
			if tx, ok := a.(Transmit); ok && strings.Contains(describeFrame(tx.Frame), " RA ") {
				times = append(times, s.now)
			}
		}
	}
}

// Every byte of a virtual router's advertisement, with all that the
// configuration can say.
func TestRouterAdvertisementGolden(t *testing.T) {
	s := newScript(t, fmt.Sprintf(raConfig, "10s"))
	s.quiet = true
	s.run("up lan mtu=1500")
	var got []byte
	for end := s.now.Add(time.Second); got == nil && s.now.Before(end); {
		s.now = s.router.Deadline()
		for _, a := range s.router.Advance(s.now) {
			if tx, ok := a.(Transmit); ok && strings.Contains(describeFrame(tx.Frame), " RA ") {
				got = tx.Frame
			}
		}
	}
	want, err := hex.DecodeString(strings.ReplaceAll(""+
		"333300000001 00005e00020a 86dd"+ // to all nodes, from the virtual MAC
		"60000000 0058 3a ff"+ // 88 bytes of ICMPv6, hop limit 255
		"fe800000000000000000000000000001"+ // the virtual link-local address
		"ff020000000000000000000000000001"+
		"86 00 47d9"+ // router advertisement, checksum
		"40 c0 0708 00000000 00000000"+ // hop limit 64, M and O, 1800 s, nothing said
		"01 01 00005e00020a"+ // source link-layer address: the virtual MAC
		"05 01 0000 000005dc"+ // MTU 1500
		"03 04 40 c0 00278d00 00093a80 00000000"+ // /64, L and A, 30 days, 7 days
		"20010db8000100000000000000000000"+
		"19 03 0000 0000001e"+ // DNS server for 30 s
		"20010db8000100000000000000000053", " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("\ngot  %x\nwant %x", got, want)
	}
}

// RFC 4861 6.2.1, 6.2.4: unsolicited advertisements come after a random time
// between the least and the longest interval, and the first ones sooner.
func TestUnsolicitedRouterAdvertisementsAreRandomWithinTheirBounds(t *testing.T) {
	for text, want := range map[string]struct{ shortest, longest time.Duration }{
		"4s":  {3 * time.Second, 4 * time.Second},
		"8s":  {6 * time.Second, 8 * time.Second},
		"9s":  {3 * time.Second, 9 * time.Second},
		"10m": {200 * time.Second, 600 * time.Second},
	} {
		s := newScript(t, strings.Replace(fmt.Sprintf(raConfig, text), `"100ms"`, `"10s"`, 1))
		s.quiet = true
		s.run("up lan")
		times := raTimes(s, 40*want.longest+time.Minute)
		least, most := time.Hour, time.Duration(0)
		for i := 1; i < len(times); i++ {
			gap := times[i].Sub(times[i-1])
			if i < maxInitialRAs {
				if gap > maxInitialRAInterval || gap < min(want.shortest, maxInitialRAInterval) {
					t.Errorf("interval %s: gap %d is %v", text, i, gap)
				}
				continue
			}
			least, most = min(least, gap), max(most, gap)
		}
		if len(times) < 35 || least < want.shortest || most > want.longest || most-least < (want.longest-want.shortest)/2 {
			t.Errorf("interval %s: %d advertisements, gaps from %v to %v", text, len(times), least, most)
		}
	}
}

// RFC 4861 6.2.6: however many hosts ask, three seconds lie between
// advertisements, and each host has its answer soon.
func TestSolicitedRouterAdvertisementsAreLimited(t *testing.T) {
	s := newScript(t, fmt.Sprintf(raConfig, "30m"))
	s.quiet = true
	s.run("up lan")
	raTimes(s, time.Minute) // beyond the initial ones
	var times []time.Time
	for range 400 {
		s.run("rs lan")
		times = append(times, raTimes(s, 50*time.Millisecond)...)
	}
	for i := 1; i < len(times); i++ {
		if gap := times[i].Sub(times[i-1]); gap < minDelayBetweenRAs || gap > minDelayBetweenRAs+maxRADelay+100*time.Millisecond {
			t.Errorf("gap %v", gap)
		}
	}
	if len(times) < 5 {
		t.Errorf("%d answers within 20 s", len(times))
	}
	raTimes(s, time.Minute)
	s.run("rs lan")
	asked := s.now
	if answer := raTimes(s, time.Second); len(answer) != 1 || answer[0].Sub(asked) > maxRADelay {
		t.Errorf("asked at %v, answered at %v", asked, answer)
	}
}

// A host that has no address yet asks from ::, and is answered, too.
func TestRouterSolicitationFromTheUnspecifiedAddressIsAnswered(t *testing.T) {
	s := newScript(t, fmt.Sprintf(raConfig, "30m"))
	s.quiet = true
	s.run("up lan")
	raTimes(s, time.Minute)
	s.run("rs lan from=::")
	if answers := raTimes(s, time.Second); len(answers) != 1 {
		t.Errorf("%d answers", len(answers))
	}
}

// RFC 9568 6.4.2: a Backup sends no router advertisements, whatever is asked.
func TestBackupSendsNoRouterAdvertisement(t *testing.T) {
	s := newScript(t, fmt.Sprintf(raConfig, "4s"))
	s.quiet = true
	s.run("up lan")
	raTimes(s, time.Second)
	s.run("advert lan from=fe80::3 every=40.95s addresses=fe80::1,2001:db8:1::1")
	s.run("rs lan")
	if times := raTimes(s, 30*time.Second); len(times) != 0 {
		t.Errorf("advertised at %v", times)
	}
	if status := s.router.Interfaces()[0].RA; len(status.From) != 0 || status.Sent == 0 {
		t.Errorf("%+v", status)
	}
}

// A router that flaps does not flood hosts.
func TestRouterAdvertisementsOfAFlappingMasterAreLimited(t *testing.T) {
	s := newScript(t, fmt.Sprintf(raConfig, "30m"))
	s.quiet = true
	s.run("up lan")
	var times []time.Time
	for range 60 {
		times = append(times, raTimes(s, 400*time.Millisecond)...)
		s.run("advert lan from=fe80::3 every=100ms addresses=fe80::1,2001:db8:1::1")
		s.run("advert lan from=fe80::3 every=100ms priority=0 addresses=fe80::1,2001:db8:1::1")
	}
	for i := 1; i < len(times); i++ {
		if gap := times[i].Sub(times[i-1]); gap < minDelayBetweenRAs {
			t.Errorf("gap %v", gap)
		}
	}
	if len(times) < 5 {
		t.Errorf("%d advertisements in 24 s", len(times))
	}
}

func TestRouterAdvertisementSaysNoMTUThatIPv6CannotHave(t *testing.T) {
	f := newIface(0, &config.Interface{RA: &config.RA{}})
	for mtu, want := range map[int]uint32{0: 0, 1279: 0, 1280: 1280, 9000: 9000} {
		f.state.MTU = mtu
		if got := f.routerAdvert(time.Hour).MTU; got != want {
			t.Errorf("device MTU %d: says %d", mtu, got)
		}
	}
}

// An interface of its own, and its last word when the router stops.
func TestOwnRouterAdvertisementEndsWithTheRouter(t *testing.T) {
	text, _, _ := strings.Cut(fmt.Sprintf(raConfig, "4s"), "[[vrrp]]")
	s := newScript(t, text)
	s.run("up lan mac=02:00:00:00:00:02")
	s.run("stop")
	got := s.trace.String()
	mac := packet.MAC{2, 0, 0, 0, 0, 2}
	for _, want := range []string{"lifetime 30m0s is-at " + mac.String(), "lifetime 0s is-at " + mac.String()} {
		if strings.Count(got, want) != 1 {
			t.Errorf("not once: %s\n%s", want, got)
		}
	}
	s.trace.Reset()
	s.run("run 10s")
	s.run("rs lan")
	s.run("run 10s")
	if strings.Contains(s.trace.String(), " RA ") {
		t.Errorf("goes on behind its last word:\n%s", s.trace.String())
	}
}

// The virtual link-local address changes by a reload: hosts are told that the
// old router is gone, and at once of the new one (RFC 4861 6.2.8).
func TestRouterAdvertisementsFollowAChangedLinkLocalAddress(t *testing.T) {
	text := fmt.Sprintf(raConfig, "30m")
	s := newScript(t, text)
	s.run("up lan")
	s.run("run 1s")
	s.trace.Reset()
	s.reload(t, strings.Replace(text, `["fe80::1"`, `["fe80::7"`, 1))
	got := s.trace.String()
	old, anew := strings.Index(got, "RA fe80::1 > ff02::1 lifetime 0s"), strings.Index(got, "RA fe80::7 > ff02::1 lifetime 30m0s")
	if old < 0 || anew < old {
		t.Errorf("want the end of fe80::1, then fe80::7:\n%s", got)
	}
}

// The interface gets a virtual router by a reload, and loses it again: hosts
// have one router of it at a time.
func TestOwnRouterAdvertisementGivesWayToAVirtualRouter(t *testing.T) {
	with := fmt.Sprintf(raConfig, "30m")
	without, _, _ := strings.Cut(with, "[[vrrp]]")
	s := newScript(t, without)
	s.run("up lan mac=02:00:00:00:00:02")
	s.run("run 10s")
	s.trace.Reset()
	s.reload(t, with)
	s.run("run 1s")
	got := s.trace.String()
	own, virtual := strings.Index(got, "lifetime 0s is-at 02:00:00:00:00:02"), strings.Index(got, "RA fe80::1 > ff02::1 lifetime 30m0s")
	if own < 0 || virtual < own {
		t.Errorf("want the end of its own, then the virtual router:\n%s", got)
	}
	s.trace.Reset()
	s.reload(t, without)
	s.run("run 5s")
	got = s.trace.String()
	virtual, own = strings.Index(got, "RA fe80::1 > ff02::1 lifetime 0s"), strings.Index(got, "lifetime 30m0s is-at 02:00:00:00:00:02")
	if virtual < 0 || own < virtual {
		t.Errorf("want the end of the virtual router, then its own:\n%s", got)
	}
}

// reload gives the router another configuration.
func (s *script) reload(t *testing.T, text string) {
	t.Helper()
	cfg, err := config.Parse("script", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	actions, err := s.router.Reconfigure(s.now, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.turn(actions)
}

// What is published of groups includes all routers where hosts ask for one: a
// switch that snoops would keep their solicitations from us.
func TestMembershipIncludesAllRoutersWhereHostsAsk(t *testing.T) {
	s := newScript(t, fmt.Sprintf(raConfig, "30m"))
	s.run("reports")
	s.run("up lan")
	s.run("run 100ms")
	if !strings.Contains(s.trace.String(), " reports ff02::1:ff00:2 ff02::1:ff00:100 ff02::2 ff02::12 ") {
		t.Error(s.trace.String())
	}
}
