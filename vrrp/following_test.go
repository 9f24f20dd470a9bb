package vrrp

import (
	"net/netip"
	"testing"
)

// following checks whom the Machine follows; the zero Addr: nobody.
func (r *rig) following(want netip.Addr) {
	r.Helper()
	got, ok := r.m.Following()
	if ok != want.IsValid() || ok && got != want {
		r.Errorf("follows %v %v, want %v", got, ok, want)
	}
}

func TestFollowing_names_the_living_master_of_a_Backup_alone(t *testing.T) {
	nobody := netip.Addr{}
	r := newRig(t)
	r.following(nobody)
	r.start()
	r.following(nobody) // none was heard
	r.hear(routerC, 200)
	r.following(routerC)
	r.hear(routerC, 0)
	r.following(nobody) // it has given up, and forwards until the next is heard
	r.hear(routerA, 150)
	r.following(routerA)
	r.until(20 * sec)
	r.state(Master)
	r.following(nobody)
	if _, err := r.m.Switchover(r.now); err != nil {
		t.Fatal(err)
	}
	r.following(nobody) // it forwards itself until its successor is heard
	r.hear(routerC, 50)
	r.following(routerC)
	r.m.Stop(r.now, "test")
	r.following(nobody)
}

func TestFollowing_names_a_lesser_master_too(t *testing.T) {
	r := newRig(t)
	r.start()
	r.hear(routerC, 50)
	r.following(routerC)
}

func TestTakeOver_makes_a_Backup_Master_at_once(t *testing.T) {
	r := newRig(t)
	r.want(r.m.TakeOver(r.now, "gone"), "")
	r.start()
	r.hear(routerC, 200)
	r.want(r.m.TakeOver(r.now, "gone"), "Backup>Master, send 100, announce")
	r.want(r.m.TakeOver(r.now, "gone"), "")
	if r.m.Info().LastReason != "gone" {
		t.Errorf("reason %q", r.m.Info().LastReason)
	}
}
