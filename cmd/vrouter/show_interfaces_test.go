package main

import (
	"net/netip"
	"strings"
	"testing"

	"vrouter/router"
)

// What "show interfaces" says below an interface with router advertisements.
func TestInterfaceNotesTellOfRouterAdvertisements(t *testing.T) {
	linkLocal := netip.MustParseAddr("fe80::1")
	for want, ra := range map[string]*router.RAStatus{
		"": nil,
		"router advertisements from fe80::1; 12 sent":                                      {From: []netip.Addr{linkLocal}, Sent: 12},
		"router advertisements from nobody while no virtual router is Master here; 3 sent": {From: []netip.Addr{}, Sent: 3},
	} {
		var got []string
		for _, note := range interfaceNotes(&router.InterfaceStatus{RA: ra}) {
			got = append(got, note.text)
		}
		if strings.Join(got, "|") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What it says of a host TAP.
func TestInterfaceNotesTellOfTheHostTAP(t *testing.T) {
	for want, tap := range map[string]*router.HostTAPStatus{
		"the host's, on vr-wan: 1234 packets to it, 5 from it": {
			Device: "vr-wan", Up: true, ToHost: router.TrafficStatus{Packets: 1234}, FromHost: router.TrafficStatus{Packets: 5},
		},
		"not the host's: vr-wan: it is not there yet":  {Device: "vr-wan"},
		"not the host's: vr-wan: no file /dev/net/tun": {Device: "vr-wan", Problem: "no file /dev/net/tun"},
	} {
		notes := interfaceNotes(&router.InterfaceStatus{HostTAP: tap})
		if len(notes) != 1 || notes[0].text != want {
			t.Errorf("got %q, want %q", notes, want)
		}
	}
}
