package interop

import (
	"net"
	"strings"
	"testing"
)

// probeTables are checks by ping and TCP connection of what answers, and of
// what does not.
const probeTables = `
[[check]]
name = "ping4"
ping = "203.0.113.10"
interval = "100ms"
timeout = "90ms"

[[check]]
name = "ping6"
ping = "2001:db8:2::10"
interval = "100ms"
timeout = "90ms"

[[check]]
name = "tcp4"
tcp = "203.0.113.10:7080"
interval = "100ms"
timeout = "90ms"

[[check]]
name = "tcp6"
tcp = "[2001:db8:2::10]:7080"
interval = "100ms"
timeout = "90ms"

[[check]]
name = "beyond"
ping = "198.51.100.1"
interval = "100ms"
timeout = "90ms"

[[check]]
name = "nobody"
ping = "203.0.113.99"
interval = "100ms"
timeout = "90ms"

[[check]]
name = "closed"
tcp = "203.0.113.10:7081"
interval = "100ms"
timeout = "90ms"
`

// Whoever keeps the addresses: the local stack sends from its own, the kernel
// from those of an interface with addresses = "host".
func TestChecksReachTheUpstreamFromOwnAndFromTheKernelsAddresses(t *testing.T) {
	own := interfaces(numberFirst)
	host := `
[[interface]]
name = "lan"
attach = "af_packet"
device = "lan"
addresses = "host"

[[interface]]
name = "wan"
attach = "af_packet"
device = "wan"
addresses = "host"
` + strings.ReplaceAll(strings.ReplaceAll(routes, `.10"`, `.10%wan"`), `::10"`, `::10%wan"`)
	for name, config := range map[string]string{"own": own, "host": host} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.listen("tcp", wanHost4+":7080")
			r.listen("tcp", "["+wanHost6+"]:7080")
			v := r.vrouter("r1", config+virtualTable("lan4", "lan", vridLAN, 3, 100, "200ms", virtual4)+probeTables)
			if name == "host" {
				must(t, v.host.Address("lan", "192.0.2.2/24", "2001:db8:1::2/64"))
				must(t, v.host.Address("wan", "203.0.113.2/24", "2001:db8:2::2/64"))
			}
			v.start()
			for _, up := range []string{"ping4", "ping6", "tcp4", "tcp6", "beyond"} {
				waitFor(t, patience, up+" is up", func() error { return v.checkIs(up, "up") })
			}
			for _, down := range []string{"nobody", "closed"} {
				waitFor(t, patience, down+" is down", func() error { return v.checkIs(down, "down") })
			}
			if out, err := v.command("show", "checks"); err != nil || !strings.Contains(out, "refused") || !strings.Contains(out, "timeout after 90ms") && !strings.Contains(out, "unreachable") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// listen accepts connections on the upstream host and closes them.
func (r *rig) listen(network, address string) {
	r.t.Helper()
	var l net.Listener
	must(r.t, r.up.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	}))
	r.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}
