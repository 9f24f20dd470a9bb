package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/control"
	"vrouter/internal/nstest"
	"vrouter/packet"
)

// configVariable makes this test binary a router process.
const configVariable = "VROUTER_TEST_DAEMON"

// roomVariable makes noticesRoom of such a process another one.
const roomVariable = "VROUTER_TEST_ROOM"

func TestMain(m *testing.M) {
	if file := os.Getenv(configVariable); file != "" {
		os.Exit(helper(file))
	}
	os.Exit(nstest.Main(m))
}

// helper runs the daemon until its standard input ends, or a signal comes.
func helper(file string) int {
	noticesRoom, _ = strconv.Atoi(os.Getenv(roomVariable)) // 0 without it
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		cancel()
	}()
	if err := Run(ctx, Options{ConfigFile: file}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is a router process in a namespace.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Closer
	log    *syncBuffer
	client *control.Client
	ended  chan error
}

// spawn starts a router in a namespace.
func spawn(t *testing.T, ns *nstest.NS, text string) *child {
	t.Helper()
	dir, err := os.MkdirTemp("", "vr")
	if err != nil {
		t.Fatal(err)
	}
	socket, file := filepath.Join(dir, "s"), filepath.Join(dir, "c.toml")
	text = fmt.Sprintf("[control]\nsocket = %q\n", socket) + text
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command("/proc/self/exe"), log: &syncBuffer{}, ended: make(chan error, 1)}
	c.cmd.Env = append(os.Environ(), configVariable+"="+file)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(c.cmd.Start); err != nil { // a process is born where its thread is
		t.Fatal(err)
	}
	go func() { c.ended <- c.cmd.Wait() }()
	c.client = control.NewClient(socket)
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		if t.Failed() {
			t.Logf("%s", c.log)
		}
		_ = os.RemoveAll(dir)
	})
	return c
}

func (c *child) state() string {
	list, err := c.client.VRRP(c.t.Context(), "")
	if err != nil || len(list) == 0 {
		return "unknown"
	}
	return list[0].State
}

// wait waits for the process's end, which must be with status 0.
func (c *child) wait() {
	c.t.Helper()
	select {
	case err := <-c.ended:
		if err != nil {
			c.t.Errorf("the router ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		c.t.Error("the router has not ended in 10 s")
	}
}

// onVeth is a router on one device.
func onVeth(address string, priority int) string {
	return fmt.Sprintf(`
[[interface]]
name = "lan"
attach = "af_packet"
device = "lan"
addresses = ["%s/24"]

[[vrrp]]
name = "gw"
interface = "lan"
vrid = 10
addresses = ["192.0.2.1"]
interval = "100ms"
priority = %d
drain = "300ms"
`, address, priority)
}

// TestProcess runs the daemon on a veth pair and talks to it as a host does.
func TestProcess(t *testing.T) {
	ns, host := nstest.New(t), nstest.New(t)
	nstest.Veth(t, ns, "lan", host, "eth0")
	wire := host.Wire(t, "eth0")
	c := spawn(t, ns, onVeth("192.0.2.2", 150))
	await(t, "Master", func() bool { return c.state() == "Master" })
	virtual := packet.MAC{0, 0, 0x5e, 0, 1, 10}
	for target, want := range map[string]packet.MAC{"192.0.2.2": ns.MAC(t, "lan"), "192.0.2.1": virtual} {
		wire.Drain()
		wire.Send(arp.Request(host.MAC(t, "eth0"), netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr(target)))
		reply := wire.Receive(2*time.Second, func(frame []byte) bool {
			p, reason := arp.Parse(frame[packet.EthernetLen:])
			return packet.Ethernet(frame).Type() == packet.EtherTypeARP && reason == arp.OK && p.Op == arp.OpReply
		})
		if reply == nil || packet.Ethernet(reply).Src() != want {
			t.Errorf("ARP for %s was answered by %x, want %v", target, reply, want)
		}
	}
	// The kernel's own stack reaches the virtual address.
	host.Addr(t, "eth0", "192.0.2.10/24")
	err := host.Do(func() error {
		out, err := exec.Command("ping", "-c", "2", "-i", "0.2", "-W", "2", "192.0.2.1").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil && !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("ping of the virtual address: %v", err)
	}
	interfaces, err := c.client.Interfaces(t.Context())
	if err != nil || interfaces[0].RX.Packets < 2 || interfaces[0].TX.Packets < 4 {
		t.Errorf("interfaces %+v, %v", interfaces, err)
	}
	wire.Drain()
	_ = c.stdin.Close() // the context ends
	c.wait()
	if wire.Receive(time.Second, func(frame []byte) bool {
		p, ok := packet.ParseIPv4(frame[packet.EthernetLen:])
		return ok && p.Protocol() == packet.ProtoVRRP && p.Payload()[2] == 0
	}) == nil {
		t.Error("no priority 0 at the end")
	}
}

// TestTwoProcesses: two routers on a cable elect a master, which hands over
// when it is told to end.
func TestTwoProcesses(t *testing.T) {
	left, right := nstest.New(t), nstest.New(t)
	nstest.Veth(t, left, "lan", right, "lan")
	a, b := spawn(t, left, onVeth("192.0.2.2", 200)), spawn(t, right, onVeth("192.0.2.3", 100))
	await(t, "one Master", func() bool { return a.state() == "Master" && b.state() == "Backup" })
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	a.wait()
	await(t, "the other takes over", func() bool { return b.state() == "Master" })
	list, err := b.client.VRRP(t.Context(), "gw")
	if err != nil || !strings.Contains(list[0].LastReason, "gave up") {
		t.Errorf("the reason is %q, %v", list[0].LastReason, err)
	}
	// A crash leaves no word; the next one finds its place again.
	a = spawn(t, left, onVeth("192.0.2.2", 200))
	await(t, "the first is back", func() bool { return a.state() == "Master" && b.state() == "Backup" })
	_ = a.cmd.Process.Kill()
	await(t, "the other takes over from a dead one", func() bool { return b.state() == "Master" })
	right.Down(t, "lan")
	await(t, "Initialize on a link that is down", func() bool { return b.state() == "Initialize" })
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	b.wait()
}

// TestFrozenProcess: SIGSTOP for longer than the lease; thawed, it listens first
// and never answers for the virtual address that another has by then.
func TestFrozenProcess(t *testing.T) {
	left, right := nstest.New(t), nstest.New(t)
	nstest.Veth(t, left, "lan", right, "lan")
	a, b := spawn(t, left, onVeth("192.0.2.2", 100)), spawn(t, right, onVeth("192.0.2.3", 200))
	await(t, "one Master", func() bool { return b.state() == "Master" && a.state() == "Backup" })
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, "the other takes over", func() bool { return a.state() == "Master" })
	time.Sleep(time.Second)
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await(t, "an answer of the thawed one", func() bool { return b.state() != "unknown" })
	events, err := b.client.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	frozen := false
	for _, e := range events {
		frozen = frozen || e.Kind == "freeze"
	}
	if !frozen {
		t.Errorf("the freeze was not noticed: %v", events)
	}
}

// TestHostAddresses: with addresses = "host" the kernel's addresses are used,
// and followed.
func TestHostAddresses(t *testing.T) {
	ns, host := nstest.New(t), nstest.New(t)
	nstest.Veth(t, ns, "lan", host, "eth0")
	text := strings.Replace(onVeth("192.0.2.2", 150), `["192.0.2.2/24"]`, `"host"`, 1)
	c := spawn(t, ns, text)
	await(t, "an answer", func() bool { return c.state() == "Initialize" })
	ns.Addr(t, "lan", "192.0.2.2/24")
	await(t, "Master", func() bool { return c.state() == "Master" })
	ns.Addr(t, "lan", "192.0.2.7/24", "2001:db8:1::7/64")
	await(t, "the new addresses", func() bool {
		list, err := c.client.Interfaces(t.Context())
		if err != nil {
			return false
		}
		text := fmt.Sprint(list[0].Addresses)
		return strings.Contains(text, "192.0.2.7/24") && strings.Contains(text, "2001:db8:1::7/64")
	})
	list, err := c.client.VRRP(t.Context(), "gw")
	if err != nil || list[0].State != "Master" || list[0].Transitions != 2 || list[0].Master.Address.String() != "192.0.2.2" {
		t.Errorf("after a new kernel address: %+v, %v", list, err)
	}
	_ = c.stdin.Close()
	c.wait()
}

// TestRunRefuses: errors that come before anything is touched.
func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.toml")
	if err := os.WriteFile(bad, []byte("[[interface]]\nname = \"lan\"\nspeed = 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none.toml"): "none.toml",
		bad:                             "bad.toml:3",
	} {
		err := Run(t.Context(), Options{ConfigFile: file, Log: io.Discard})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s in it", file, err, want)
		}
	}
}
