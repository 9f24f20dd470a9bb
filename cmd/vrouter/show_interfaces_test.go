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
