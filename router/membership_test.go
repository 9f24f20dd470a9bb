package router

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Many virtual routers that become Master together are reported together, in
// frames that every link carries, and each of their groups once.
func TestMembershipOfManyVirtualRoutersIsReportedTogether(t *testing.T) {
	var text strings.Builder
	text.WriteString(`
[[interface]]
name = "lan"
attach = "af_packet"
device = "eth1"
addresses = ["2001:db8:1::2/64"]
`)
	for vrid := 1; vrid <= 200; vrid++ {
		fmt.Fprintf(&text, "\n[[vrrp]]\nname = \"v%d\"\ninterface = \"lan\"\nvrid = %d\naddresses = [\"2001:db8:1::1:%x\"]\nfast_detect = false\n", vrid, vrid, vrid)
	}
	s := newScript(t, text.String())
	s.quiet = true
	s.run("up lan")
	reported, frames := map[string]int{}, 0
	for end := s.now.Add(4 * time.Second); ; {
		deadline := s.router.Deadline()
		if deadline.After(end) {
			break
		}
		s.now = deadline
		for _, a := range s.router.Advance(s.now) {
			tx, ok := a.(Transmit)
			if !ok || !strings.Contains(describeFrame(tx.Frame), " reports ") {
				continue
			}
			frames++
			if len(tx.Frame) > 1294 {
				t.Errorf("a frame of %d bytes", len(tx.Frame))
			}
			_, list, _ := strings.Cut(describeFrame(tx.Frame), " reports ")
			for _, g := range strings.Fields(list) {
				reported[g]++
			}
		}
	}
	// 200 addresses, 200 link-local ones made from the virtual MACs, the
	// interface's own two, and VRRP's group: twice when the link came up, and
	// once so far since they became Master.
	if len(reported) < 400 || reported["ff02::12"] != 3 || frames > 3*8 {
		t.Errorf("%d groups in %d frames; ff02::12 %d times", len(reported), frames, reported["ff02::12"])
	}
	for g, n := range reported {
		if n != reported["ff02::12"] {
			t.Errorf("%s reported %d times", g, n)
		}
	}
}
