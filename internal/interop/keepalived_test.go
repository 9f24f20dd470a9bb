package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrouter/internal/netlab"
)

func TestKeepalived(t *testing.T) {
	program := need(t, "keepalived")
	for _, va := range append(variants, keepalivedVariants...) {
		t.Run(va.name, func(t *testing.T) {
			t.Parallel()
			testPeer(t, va, func(d *duel, priority int) peer { return newKeepalived(d, program, priority, authKey) })
		})
	}
}

// keepalivedVariants are those that other peers do not have.
var keepalivedVariants = []variant{
	{
		name: "version 2 with a password", version: 2, addresses: []string{virtual4},
		own: []string{"192.0.2.3/24"}, address: "192.0.2.3", auth: "password",
	},
	{
		name: "version 2 with an authentication header", version: 2, addresses: []string{virtual4},
		own: []string{"192.0.2.3/24"}, address: "192.0.2.3", auth: "ah",
	},
	{
		name: "version 3 IPv4 unicast", version: 3, addresses: []string{virtual4},
		own: []string{"192.0.2.3/24"}, address: "192.0.2.3", unicast: "192.0.2.2",
	},
	{
		name: "version 3 IPv6 unicast", version: 3, addresses: []string{virtualLL, virtual6},
		own: []string{"fe80::3/64", "2001:db8:1::3/64"}, address: "fe80::3", unicast: "fe80::2",
	},
	{
		name: "version 2 unicast with an authentication header", version: 2, addresses: []string{virtual4},
		own: []string{"192.0.2.3/24"}, address: "192.0.2.3", auth: "ah", unicast: "192.0.2.2",
	},
}

// statements are those of a variant in keepalived's words.
func (va *variant) statements(key string) (text string) {
	if va.auth != "" {
		kind := map[string]string{"password": "PASS", "ah": "AH"}[va.auth]
		text += fmt.Sprintf("    authentication {\n        auth_type %s\n        auth_pass %s\n    }\n", kind, key)
	}
	if va.unicast != "" {
		// Without unicast_ttl the kernel's default is sent over IPv6: 64.
		text += fmt.Sprintf("    unicast_src_ip %s\n    unicast_peer {\n        %s\n    }\n    unicast_ttl 255\n", va.address, va.unicast)
	}
	return text
}

// keepalived answers by its device's own MAC, as it does by default.
type keepalived struct {
	d       *duel
	args    []string
	process *netlab.Process
}

func newKeepalived(d *duel, program string, priority int, key string) *keepalived {
	var addresses strings.Builder
	for _, a := range d.addresses {
		length := 24
		if strings.Contains(a, ":") {
			length = 64
		}
		fmt.Fprintf(&addresses, "        %s/%d\n", a, length)
	}
	config := filepath.Join(d.lab.Dir, "keepalived.conf")
	must(d.t, os.WriteFile(config, fmt.Appendf(nil, `global_defs {
    router_id peer
    vrrp_version %d
    vrrp_garp_master_delay 1
}
vrrp_instance vr {
    interface lan
    state BACKUP
    virtual_router_id %d
    priority %d
    advert_int 1
    virtual_ipaddress {
%s    }
%s}
`, d.version, vridLAN, priority, addresses.String(), d.statements(key)), 0o600))
	pid := func(name string) string { return filepath.Join(d.lab.Dir, "keepalived-"+name+".pid") }
	return &keepalived{d: d, args: []string{
		program, "--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file", config,
		"--pid", pid("main"), "--vrrp_pid", pid("vrrp"),
	}}
}

func (k *keepalived) start(t *testing.T) {
	t.Helper()
	var err error
	k.process, err = k.d.peerHost.Start(k.args...)
	must(t, err)
}

func (k *keepalived) stop(t *testing.T) {
	t.Helper()
	must(t, k.process.Stop(stopPatience))
}

// crash is a power failure of the host: a kernel that lived on would go on
// answering for the addresses that keepalived put there.
func (k *keepalived) crash(t *testing.T) {
	t.Helper()
	must(t, k.d.peerLink.Cut())
	k.process.Kill()
}

func (k *keepalived) log() string { return k.process.Output() }

// Routers with different keys do not hear each other: both are masters, both
// say why in their counters, and neither lets the other's packets move it.
func TestKeepalivedWithAnotherKey(t *testing.T) {
	program := need(t, "keepalived")
	for auth, want := range map[string]struct{ counter, remark string }{
		"password": {"vrrp_auth_password", "invalid passwd"},
		"ah":       {"vrrp_auth_ah", "invalid IPSEC HMAC-MD5"},
	} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			va := variant{
				name: auth, version: 2, addresses: []string{virtual4}, own: []string{"192.0.2.3/24"}, address: "192.0.2.3", auth: auth,
			}
			d := newDuel(t, va, 100, func(d *duel) peer { return newKeepalived(d, program, 200, "other") })
			d.v.start()
			d.vrouterServes(patience)
			d.peer.start(t)
			waitFor(t, patience, "each discards what the other sends", func() error {
				n, err := d.v.control(want.counter)
				// Of keepalived's one is enough: each packet that it discards sets its
				// timer back, so that it hardly sends any while it hears ours.
				if err == nil && (n == 0 || !strings.Contains(d.peer.log(), want.remark)) {
					err = fmt.Errorf("%s is %d", want.counter, n)
				}
				return err
			})
			time.Sleep(5 * time.Second) // longer than a backup would wait
			if !strings.Contains(d.peer.log(), "Entering MASTER STATE") {
				t.Error("keepalived has followed a master with another key")
			}
			if one, err := d.v.virtual("vr"); err != nil || one.State != "Master" || one.Transitions != 2 {
				t.Errorf("%+v, %v: want it Master as before", one, err)
			}
		})
	}
}

// control returns a counter of the control plane.
func (v *vrouter) control(name string) (uint64, error) {
	out, err := v.show("counters")
	if err != nil {
		return 0, err
	}
	var counters struct{ Control map[string]uint64 }
	if err := json.Unmarshal(out, &counters); err != nil {
		return 0, err
	}
	n, ok := counters.Control[name]
	if !ok {
		return 0, fmt.Errorf("no counter %s", name)
	}
	return n, nil
}
