package router

import (
	"strings"
	"testing"
	"time"
)

// What RFC 9568 asks of those who carry out what a virtual router's Machine
// wants: a test for each clause. The host is 192.0.2.10, or 2001:db8:1::10.

const clauseLinks = `
[[interface]]
name = "lan"
attach = "af_packet"
device = "eth1"
addresses = ["192.0.2.2/24", "2001:db8:1::2/64"]

[[interface]]
name = "wan"
attach = "af_packet"
device = "eth2"
addresses = ["203.0.113.2/24", "2001:db8:2::2/64"]
`

const clauseBackup = clauseLinks + `
[[vrrp]]
name = "lan4"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
accept = false

[[vrrp]]
name = "lan6"
interface = "lan"
vrid = 10
addresses = ["fe80::1", "2001:db8:1::1"]
accept = false
`

const clauseOwner = clauseLinks + `
[[vrrp]]
name = "owner4"
interface = "lan"
vrid = 10
addresses = ["192.0.2.2"]
priority = 255

[[vrrp]]
name = "owner6"
interface = "lan"
vrid = 10
addresses = ["fe80::1", "2001:db8:1::2"]
priority = 255
`

// clauseRouter is a router with its interfaces up for a while.
func clauseRouter(t *testing.T, cfg string, d time.Duration) *script {
	s := newScript(t, cfg)
	s.quiet = true
	s.run("up lan")
	s.run("up wan")
	s.advance(d)
	s.quiet = false
	s.trace.Reset()
	return s
}

// says runs a command and returns the trace that it leaves.
func (s *script) says(command string) string {
	s.t.Helper()
	s.trace.Reset()
	s.run(command)
	return s.trace.String()
}

// masterAfter is longer than the Master_Down_Interval.
const masterAfter = 4 * time.Second

func TestBackupAnswersNoARPRequestForTheVirtualAddress(t *testing.T) {
	s := clauseRouter(t, clauseBackup, time.Second)
	if got := s.says("request lan target=192.0.2.1"); strings.Contains(got, "ARP") {
		t.Error(got)
	}
	if got := s.says("request lan target=192.0.2.2"); !strings.Contains(got, "ARP 192.0.2.2 is-at 02:00:00:00:01:00") {
		t.Errorf("for its own address: %q", got)
	}
}

func TestBackupAnswersNoSolicitationForTheVirtualAddress(t *testing.T) {
	s := clauseRouter(t, clauseBackup, time.Second)
	for _, target := range []string{"2001:db8:1::1", "fe80::1"} {
		if got := s.says("ns lan target=" + target); strings.Contains(got, " NA ") {
			t.Error(got)
		}
	}
}

func TestMasterAnswersARPRequestsWithTheVirtualMAC(t *testing.T) {
	s := clauseRouter(t, clauseBackup, masterAfter)
	want := "lan < 00:00:5e:00:01:0a > 02:00:00:00:00:aa ARP 192.0.2.1 is-at 00:00:5e:00:01:0a"
	if got := s.says("request lan target=192.0.2.1"); strings.Count(got, "ARP") != 1 || !strings.Contains(got, want) {
		t.Error(got)
	}
}

// The same with accept = false: neighbour discovery is not what Accept_Mode is
// about.
func TestMasterAnswersSolicitationsWithTheVirtualMACAndTheRouterFlag(t *testing.T) {
	s := clauseRouter(t, clauseBackup, masterAfter)
	for _, target := range []string{"2001:db8:1::1", "fe80::1"} {
		got := s.says("ns lan target=" + target)
		for _, want := range []string{"lan < 00:00:5e:00:02:0a > 02:00:00:00:00:aa NA", "target " + target + " is-at 00:00:5e:00:02:0a", "router", "override"} {
			if !strings.Contains(got, want) {
				t.Errorf("%q lacks %q", got, want)
			}
		}
	}
}

func TestNewMasterAnnouncesEachAddressFromTheVirtualMAC(t *testing.T) {
	s := clauseRouter(t, clauseBackup, time.Second)
	s.advance(masterAfter)
	got := s.trace.String()
	for _, want := range []string{
		"lan < 00:00:5e:00:01:0a > ff:ff:ff:ff:ff:ff ARP announces 192.0.2.1 is-at 00:00:5e:00:01:0a",
		"lan < 00:00:5e:00:02:0a > 33:33:00:00:00:01 NA", "target fe80::1 is-at 00:00:5e:00:02:0a",
		"target 2001:db8:1::1 is-at 00:00:5e:00:02:0a",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
}

// RFC 9568 8.1.2: nothing may tell the port's MAC for an address that is owned
// as a virtual one, from the first frame on.
func TestOwnerNeverTellsThePortsMACForItsVirtualAddress(t *testing.T) {
	s := newScript(t, clauseOwner)
	s.run("up lan")
	s.run("up wan")
	s.advance(3 * time.Second)
	s.run("request lan target=192.0.2.2")
	s.run("ns lan target=2001:db8:1::2")
	s.run("resolve lan via=192.0.2.30")
	s.run("resolve lan via=2001:db8:1::30")
	s.advance(time.Minute) // neighbours are verified again
	asked := 0
	for line := range strings.Lines(s.trace.String()) {
		if strings.Contains(line, "who-has 192.0.2.30") || strings.Contains(line, "target 2001:db8:1::30") {
			asked++
		}
		own := strings.Contains(line, "lan < 02:00:00:00:01:00") || strings.Contains(line, "is-at 02:00:00:00:01:00")
		claims := strings.Contains(line, "tell 192.0.2.2") || strings.Contains(line, "192.0.2.2 is-at") ||
			strings.Contains(line, "target 2001:db8:1::2 ") || strings.Contains(line, "NS 2001:db8:1::2")
		if own && claims {
			t.Error(line)
		}
	}
	if asked < 2 {
		t.Errorf("asked for %d neighbours only:\n%s", asked, s.trace.String())
	}
}

// RFC 5798 8.1.3 leaves proxy ARP to routers that do it: this one does not.
func TestNobodyElsesAddressIsAnsweredFor(t *testing.T) {
	s := clauseRouter(t, clauseBackup, masterAfter)
	for _, target := range []string{"203.0.113.9", "203.0.113.2", "192.0.2.77", "198.51.100.1"} {
		if got := s.says("request lan target=" + target); strings.Contains(got, "ARP") {
			t.Error(got)
		}
	}
	for _, target := range []string{"2001:db8:2::9", "2001:db8:2::2", "2001:db8:1::77"} {
		if got := s.says("ns lan target=" + target); strings.Contains(got, " NA ") {
			t.Error(got)
		}
	}
}

// RFC 9568 6.4.1, 6.4.2: as Backup too, so that becoming Master needs no
// membership first.
func TestVirtualRouterJoinsItsGroupsAndTheSolicitedNodeGroups(t *testing.T) {
	s := newScript(t, clauseBackup)
	s.run("up lan")
	got := s.trace.String()
	for _, want := range []string{
		"01:00:5e:00:00:12",                      // 224.0.0.18
		"33:33:00:00:00:12",                      // ff02::12
		"33:33:ff:00:00:01",                      // of fe80::1 and 2001:db8:1::1
		"00:00:5e:00:01:0a", "00:00:5e:00:02:0a", // and the virtual MACs
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %s:\n%s", want, got)
		}
	}
}

// RFC 9568 6.1, Accept_Mode, and 8.3.1: without it packets to the virtual address
// go nowhere; the owner takes them whatever is configured.
func TestAcceptModeDecidesOverPacketsToTheVirtualAddress(t *testing.T) {
	for _, c := range []struct {
		name, cfg, address string
		local              bool
	}{
		{"accept = false", clauseBackup, "192.0.2.1", false},
		{"accept = false, IPv6", clauseBackup, "2001:db8:1::1", false},
		{"accept = true", strings.ReplaceAll(clauseBackup, "accept = false", "accept = true"), "192.0.2.1", true},
		{"the owner", strings.ReplaceAll(clauseOwner, "priority = 255", "priority = 255\naccept = false"), "192.0.2.2", true},
	} {
		s := clauseRouter(t, c.cfg, masterAfter)
		if got := strings.Contains(localAddresses(s.router), c.address+"/"); got != c.local {
			t.Errorf("%s: local %v", c.name, got)
		}
		group := groupOf(t, s.router.Snapshot(), c.address)
		if len(group.Hops) > 0 {
			t.Errorf("%s: would be forwarded: %+v", c.name, group)
		}
	}
}

// RFC 9568 6.4.2: a Backup accepts nothing for the virtual addresses.
func TestBackupHasNoVirtualAddress(t *testing.T) {
	s := clauseRouter(t, strings.ReplaceAll(clauseBackup, "accept = false", "accept = true"), time.Second)
	if got := localAddresses(s.router); strings.Contains(got, "192.0.2.1/") || strings.Contains(got, "2001:db8:1::1/") {
		t.Errorf("the local stack answers for %s", got)
	}
	s.advance(masterAfter)
	s.run("advert lan priority=200 from=192.0.2.3")
	if got := localAddresses(s.router); strings.Contains(got, "192.0.2.1/") {
		t.Errorf("after yielding the local stack answers for %s", got)
	}
}
