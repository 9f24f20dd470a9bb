package interop

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"vrouter/packet"
	"vrouter/vrrp"
)

// forgotten is longer than the switch remembers a group that nobody reports.
const forgotten = 15 * time.Second

// A switch that snoops sends a group to those who have reported it, and forgets
// who does not do so again. Advertisements and neighbour solicitations go on
// arriving; with the querier speaking the older versions, too.
func TestSnoopingSwitches(t *testing.T) {
	need(t, "bridge")
	for _, c := range []struct {
		igmp, mld int
		host      bool // the backup's addresses are its kernel's
	}{{3, 2, false}, {2, 1, false}, {3, 2, true}} {
		t.Run(fmt.Sprintf("IGMPv%d MLDv%d host %v", c.igmp, c.mld, c.host), func(t *testing.T) {
			t.Parallel()
			testSnooping(t, c.igmp, c.mld, c.host)
		})
	}
}

func testSnooping(t *testing.T, igmp, mld int, host bool) {
	r := newRig(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	must(t, r.lanNet.Snoop(ctx, igmp, mld))
	master := r.vrouter("r1", withRA(interfaces(numberFirst))+gateways(200, "200ms"))
	config := interfaces(numberB)
	if host {
		config = strings.Replace(config, `addresses = ["192.0.2.3/24", "fe80::3/64", "2001:db8:1::3/64"]`, `addresses = "host"`, 1)
	}
	backup := r.vrouter("r2", config+gateways(100, "200ms"))
	if host {
		must(t, backup.host.Address("lan", "192.0.2.3/24", "2001:db8:1::3/64", "fe80::3/64"))
	}
	master.start()
	master.waitMaster()
	backup.start()
	for _, name := range []string{"lan4", "lan6"} {
		backup.waitState(name, "Backup")
	}
	time.Sleep(forgotten)

	members, err := r.lanNet.Members(ctx)
	must(t, err)
	for _, port := range []string{"r1.lan", "r2.lan"} {
		for _, group := range []string{"ff02::12", "ff02::1:ff00:1"} {
			if !strings.Contains(members, fmt.Sprintf("port %s grp %s ", port, group)) {
				t.Errorf("%s is no member of %s:\n%s", port, group, members)
			}
		}
	}
	// The switch does snoop: who is no member hears no advertisement.
	c := r.capture(r.lan)
	time.Sleep(2 * time.Second)
	c.stop()
	for _, frame := range c.frames {
		if packet.Ethernet(frame).Dst() == packet.MulticastMAC(vrrp.GroupIPv6) {
			t.Fatal("the switch floods advertisements")
		}
	}
	for _, name := range []string{"lan4", "lan6"} {
		for v, state := range map[*vrouter]string{master: "Master", backup: "Backup"} {
			one, err := v.virtual(name)
			if err != nil || one.State != state || v == backup && one.Transitions != 1 {
				t.Errorf("%s: %+v, %v: want it %s all the time", name, one, err, state)
			}
		}
	}
	// Who asks anew is answered: by multicast, for own and virtual addresses.
	for _, address := range []string{virtual6, "2001:db8:1::2", "2001:db8:1::3", target6} {
		must(t, r.lan.FlushNeighbors("eth0"))
		if out, err := r.run(r.lan, "ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", address); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
