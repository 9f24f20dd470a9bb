package daemon

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// manyChecks is a configuration with so many checks of a program, and of an
// address that nobody has.
func manyChecks(n int) string {
	var b strings.Builder
	b.WriteString(onLAN)
	for i := range n {
		fmt.Fprintf(&b, "[[check]]\nname = \"p%d\"\nping = \"203.0.113.%d\"\ninterval = \"10ms\"\ntimeout = \"10ms\"\n", i, 10+i%200)
		if i%10 == 0 {
			fmt.Fprintf(&b, "[[check]]\nname = \"x%d\"\nexec = [\"/bin/sh\", \"-c\", \"trap '' TERM; yes\"]\ninterval = \"10ms\"\ntimeout = \"10ms\"\n", i)
		}
	}
	return b.String()
}

func TestHundredsOfChecksDoNotHoldUpTheLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("load")
	}
	// As Run does: the loop finds an idle P.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + spareThreads))
	var err error
	for range 3 { // the machine may have other things to do
		if err = underChecks(t); err == nil {
			return
		}
		t.Log(err)
	}
	t.Error(err)
}

// underChecks runs a router with hundreds of checks for a second, and returns
// an error where it was late.
func underChecks(t *testing.T) error {
	r := newRig(t, manyChecks(300)).start()
	defer r.stop()
	await(t, "every check has a result", func() bool {
		list, err := r.client.Checks(t.Context())
		if err != nil {
			return false
		}
		for i := range list {
			if list[i].State != "down" {
				return false
			}
		}
		return len(list) == 330
	})
	await(t, "Master", func() bool { return r.state() == "Master" })
	before, err := r.client.Counters(t.Context())
	if err != nil {
		return err
	}
	time.Sleep(time.Second)
	after, err := r.client.Counters(t.Context())
	if err != nil {
		return err
	}
	list, err := r.client.VRRP(t.Context(), "gw")
	if err != nil {
		return err
	}
	late := after.Timers["control_loop_late"]
	t.Logf("longest turn %d us; the loop was late by %d us at worst", after.Control["longest_turn_us"], late.MaxUS)
	if before.Control["longest_turn_us"] == 0 {
		t.Error("no turn was measured")
	}
	// A Backup would take over when an advertisement is 200 ms late.
	if late.MaxUS > 200_000 || list[0].State != "Master" || list[0].Transitions != 2 {
		return fmt.Errorf("late by %d us, %d transitions", late.MaxUS, list[0].Transitions)
	}
	return nil
}

func TestCheckTakesItsWeightOffWithEvidence(t *testing.T) {
	r := newRig(t, onLAN+`track = [{ check = "dns", weight = 20 }]
[[check]]
name = "dns"
exec = ["/bin/sh", "-c", "echo no answer; exit 1"]
interval = "20ms"
timeout = "20ms"
`).start()
	await(t, "the effective priority", func() bool {
		list, err := r.client.VRRP(t.Context(), "gw")
		return err == nil && list[0].EffectivePriority == 80
	})
	events, err := r.client.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var said string
	for _, e := range events {
		if e.Kind == "priority" {
			said = e.Reason
		}
	}
	if !strings.HasPrefix(said, "check dns down 3 times: ") || !strings.HasSuffix(said, "; effective 100 -> 80") {
		t.Errorf("the event says %q", said)
	}
}
