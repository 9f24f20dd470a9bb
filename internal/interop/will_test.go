package interop

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A real keepalived takes the guardian's last will for what it is: it becomes
// master after its skew time, and not after three intervals. The authentication
// header's sequence number is as good as one of the router process' own. Then
// the router process is back, listens, and takes over again.
func TestKeepalivedTakesOverOnALastWill(t *testing.T) {
	program := need(t, "keepalived")
	for _, va := range append(variants[:len(variants):len(variants)], keepalivedVariants...) {
		t.Run(va.name, func(t *testing.T) {
			t.Parallel()
			d := newDuel(t, va, 200, func(d *duel) peer { return newKeepalived(d, program, 100, authKey) })
			d.v.start()
			d.vrouterServes(patience)
			d.peer.start(t)
			d.holds("r1.lan") // keepalived has heard enough of it

			children := d.v.process.Children()
			if len(children) != 1 {
				t.Fatalf("the guardian has the children %v, want the router process alone", children)
			}
			start := time.Now()
			must(t, unix.Kill(children[0], unix.SIGKILL))
			d.peerServes(handOverLimit)
			t.Logf("router process killed: keepalived served after %v", time.Since(start).Round(time.Millisecond))
			d.vrouterServes(patience)
		})
	}
}
