package daemon

import (
	"fmt"
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
	r := newRig(t, manyChecks(300)).start()
	await(t, "Master", func() bool { return r.state() == "Master" })
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
	time.Sleep(time.Second)
	s, err := r.client.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.client.VRRP(t.Context(), "gw")
	if err != nil || list[0].State != "Master" || list[0].Transitions != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	late := s.Timers["control_loop_late"]
	t.Logf("longest turn %d us; the loop was late by %d us at worst", s.Control["longest_turn_us"], late.MaxUS)
	// A Backup would take over when an advertisement is 200 ms late.
	if late.MaxUS > 200_000 {
		t.Errorf("the loop was late by %d us", late.MaxUS)
	}
	if took := r.stop(); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
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
