package interop

import (
	"strings"
	"testing"
)

// The LAN's port is a TAP device in a Linux bridge of the router's host, whose
// other port is the cable.
func TestTAP(t *testing.T) {
	r := newRig(t)
	config := strings.Replace(interfaces(numberFirst), `attach = "af_packet"
device = "lan"`, `attach = "tap"
device = "vr-lan"
bridge = "br0"`, 1)
	v := r.vrouter("r1", config+gateways(200, "200ms"))
	must(t, v.host.Bridge("br0", "lan"))
	v.start()
	v.waitMaster()
	testRouter(t, r)
}

// gVisor's forwarder in place of our own.
func TestNetstackEngine(t *testing.T) {
	r := newRig(t)
	v := r.vrouter("r1", interfaces(numberFirst)+gateways(200, "200ms"))
	v.engine("netstack")
	v.start()
	v.waitMaster()
	testRouter(t, r)
}

// testRouter is what every router must be able to do.
func testRouter(t *testing.T, r *rig) {
	need(t, "ping")
	for _, address := range []string{virtual4, virtual6, virtualLL} {
		port, mac, err := r.served(address)
		if err != nil || port != "r1.lan" || mac != virtualMAC(address) {
			t.Errorf("%s: served by %q with %v (%v), want r1.lan with %v", address, port, mac, err, virtualMAC(address))
		}
	}
	for _, target := range []string{virtual4, virtual6, "192.0.2.2", "2001:db8:1::2", target4, target6} {
		if err := r.pingOnce(target); err != nil {
			t.Errorf("ping: %v", err)
		}
	}
	testTraceroute(t, r)
	for _, address := range []string{target4, target6} {
		if err := transfer(r.lan, r.up, address, 20<<20); err != nil {
			t.Errorf("transfer to %s: %v", address, err)
		}
	}
}
