package netlab

import (
	"context"
	"testing"
	"time"
)

func TestACableJoinsTwoHosts(t *testing.T) {
	if err := Unavailable(); err != nil {
		t.Skip(err)
	}
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, errA := l.Host("a")
	b, errB := l.Host("b")
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if err := l.Cable(a, "left", b, "right"); err != nil {
		t.Fatal(err)
	}
	for h, address := range map[*Host][2]string{a: {"left", "192.0.2.1/24"}, b: {"right", "192.0.2.2/24"}} {
		if err := h.Address(address[0], address[1]); err != nil {
			t.Fatal(err)
		}
	}
	before, err := b.Received("right")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := a.Run(ctx, "ping", "-c", "1", "-W", "5", "192.0.2.2"); err != nil {
		t.Fatal(err)
	}
	if after, err := b.Received("right"); err != nil || after <= before {
		t.Errorf("received %d, before the ping %d: %v", after, before, err)
	}
	if err := b.Blackhole("192.0.2.1/32"); err != nil {
		t.Fatal(err)
	}
	if out, err := a.Run(ctx, "ping", "-c", "1", "-W", "1", "192.0.2.2"); err == nil {
		t.Errorf("an answer went into a blackhole:\n%s", out)
	}
	if _, err := a.Received("none"); err == nil {
		t.Error("counters of a device that is not there")
	}
}
