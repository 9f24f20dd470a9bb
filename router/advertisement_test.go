package router

import (
	"strings"
	"testing"
	"time"
)

const willConfig = `
[[interface]]
name = "lan"
attach = "af_packet"
device = "eth1"
addresses = ["192.0.2.2/24"]

[[vrrp]]
name = "sealed"
interface = "lan"
vrid = 11
version = 2
addresses = ["192.0.2.254"]
auth = { type = "ah", key = "open" }

[[vrrp]]
name = "unicast"
interface = "lan"
vrid = 12
addresses = ["192.0.2.253"]
peers = ["192.0.2.3", "192.0.2.4"]
`

// A will says priority 0, in an authentication header by a number that is above
// those of the advertisements to come; of unicast peers it knows only those
// whose MAC is known, since nobody would resolve the others.
func TestWillFramesSayPriorityZeroAboveWhatWasSent(t *testing.T) {
	s := newScript(t, willConfig)
	s.run("up lan")
	s.run("reply lan from=192.0.2.3 mac=02:00:00:00:00:03")
	s.advance(4 * time.Second)
	for i, want := range []string{
		"00:00:5e:00:01:0b > 01:00:5e:00:00:12 VRRPv2 vrid 11 priority 0 every 1s of 192.0.2.254: 192.0.2.2 > 224.0.0.18 sealed 3534451208",
		"02:00:00:00:01:00 > 02:00:00:00:00:03 VRRPv3 vrid 12 priority 0 every 1s of 192.0.2.253: 192.0.2.2 > 192.0.2.3",
	} {
		frames := s.router.willFrames(s.now, s.router.virtual[i])
		if len(frames) != 1 || describeFrame(frames[0]) != want {
			t.Errorf("%d frames; first %s\nwant %s", len(frames), describeFrame(frames[0]), want)
		}
	}
	if sent := s.trace.String(); !strings.Contains(sent, "sealed 3534451206") || strings.Contains(sent, "3534451207") {
		t.Errorf("the scenario has sent other numbers than the test says:\n%s", sent)
	}
}

func TestWillFramesOfAnInterfaceWithoutAddress(t *testing.T) {
	s := newScript(t, strings.Replace(willConfig, `["192.0.2.2/24"]`, `"host"`, 1))
	s.run("up lan")
	if frames := s.router.willFrames(s.now, s.router.virtual[0]); frames != nil {
		t.Errorf("%d frames", len(frames))
	}
}
