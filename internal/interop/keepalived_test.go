package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		text += fmt.Sprintf("    unicast_src_ip %s\n    unicast_peer {\n        %s\n    }\n", va.address, va.unicast)
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
