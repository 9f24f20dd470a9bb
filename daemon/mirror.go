package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"vrouter/config"
	"vrouter/dataplane/port/afpacket"
	"vrouter/dataplane/port/kernel"
	"vrouter/dataplane/worker"
	"vrouter/hostnet"
	"vrouter/router"
)

// mirror makes an interface of every Ethernet device that the kernel has. A port
// number whose device has gone is kept for the next one: ports never close while
// workers run.
type mirror struct {
	d   *process
	net *kernel.Net // where devices are opened

	own   map[int]*afpacket.Port // by number: the ports that the mirror has opened
	spare []uint16               // of these, numbers without a device

	contends bool              // the kernel forwards, if it may
	ready    bool              // this router can
	alone    *kernel.NoTransit // the kernel is kept from it
	refused  bool              // that failed

	mu   sync.Mutex
	have map[string][]netip.Prefix // by device: its addresses in the kernel
}

func newMirror(d *process) (*mirror, error) {
	n, err := kernel.Here()
	if err != nil {
		return nil, err
	}
	return &mirror{d: d, net: n, own: map[int]*afpacket.Port{}, have: map[string][]netip.Prefix{}}, nil
}

func (m *mirror) close() {
	if m.alone != nil {
		m.alone.Close()
	}
	m.net.Close()
}

// sysctls are what has the kernel not forward.
const sysctls = "sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"

// notReady is why the kernel forwards at first.
const notReady = "the kernel's routes are not all known yet"

// contend looks whether the kernel forwards what this router forwards: each
// packet would arrive twice.
func (m *mirror) contend(list []hostnet.Device) {
	m.contends = slices.ContainsFunc(list, func(d hostnet.Device) bool {
		return mirrored(&d) && (d.Forwards4 || d.Forwards6)
	})
	m.agree()
}

// agree settles who forwards. A kernel that does goes on until this router can,
// and is then kept from it. Better that a packet goes twice in between than that
// one is lost. Where the kernel cannot be kept from it the router stands back.
func (m *mirror) agree() {
	switch {
	case !m.contends:
		m.forwards("")
	case !m.ready:
		m.forwards(notReady)
	case m.alone != nil:
	case m.refused:
		m.forbid()
	default:
		m.forwards("")
		m.forbid()
	}
}

// forbid keeps the kernel from forwarding, or stands back.
func (m *mirror) forbid() {
	err := m.net.Do(func() (err error) {
		m.alone, err = kernel.ForbidTransit()
		return err
	})
	if m.refused = err != nil; m.refused {
		m.alone = nil
		m.forwards(fmt.Sprintf("the kernel forwards, and cannot be kept from it (%v): %s", err, sysctls))
		return
	}
	m.d.log.Info("the kernel is kept from forwarding while this router does")
	m.forwards("")
}

// forwards tells the router why the kernel forwards in its place, if so.
func (m *mirror) forwards(why string) {
	if m.d.loop != nil {
		m.d.imports.call(func(now time.Time) []router.Action { return m.d.loop.router.KernelForwards(now, why) })
	}
}

// resolveWait is how long the kernel goes on for the sake of next hops that do
// not answer.
const resolveWait = 500 * time.Millisecond

// synced is called when all routes are known: once their next hops are resolved
// the router is as good as the kernel.
func (m *mirror) synced() {
	if m.ready {
		return
	}
	for end := time.Now().Add(resolveWait); m.contends && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		waiting, err := ask(context.Background(), m.d.loop, func(time.Time) int { return m.d.loop.router.Unresolved() })
		if waiting == 0 || err != nil {
			break
		}
	}
	m.ready = true
	m.agree()
}

// handBack lets the kernel forward again, before this router ceases to.
func (m *mirror) handBack() {
	if m.alone == nil {
		return
	}
	_ = m.net.Do(func() error {
		m.alone.Close()
		return nil
	})
	m.alone = nil
	m.forwards("this router stops")
}

// addresses returns the kernel's addresses on a device.
func (m *mirror) addresses(device string) []netip.Prefix {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.have[device]
}

// mirrored reports whether a device is to be an interface. One that is part of
// another (a bridge's or bond's port) is not: its frames are the other's. The
// host TAPs are ways into the kernel, a VRF is one to another table.
func mirrored(d *hostnet.Device) bool {
	return d.Ethernet && d.Master == 0 && d.Kind != "vrf" && !strings.HasPrefix(d.Name, "vr-")
}

// follow brings the interfaces in step with the devices, and returns the indices
// of those that have become an interface or ceased to be one.
func (m *mirror) follow(list []hostnet.Device) (moved []int) {
	m.contend(list)
	have := map[string][]netip.Prefix{}
	wanted := map[string]bool{}
	for i := range list {
		d := &list[i]
		if wanted[d.Name] = mirrored(d); wanted[d.Name] {
			have[d.Name] = usable(d)
		}
	}
	m.mu.Lock()
	moving := []string{} // not nil
	for name, now := range have {
		if !slices.Equal(now, m.have[name]) {
			moving = append(moving, name)
		}
	}
	m.have = have
	m.mu.Unlock()

	taken := map[string]bool{}
	for number, p := range m.d.ports.all() {
		name := p.cfg.Device
		if m.own[number] == nil || name == "" {
			taken[name] = true // an interface of the configuration
			continue
		}
		if taken[name] = wanted[name]; !wanted[name] {
			m.vacate(number)
			moved = append(moved, index(list, name))
		}
	}
	for i := range list {
		d := &list[i]
		if !wanted[d.Name] || taken[d.Name] {
			continue
		}
		if err := m.occupy(d.Name); err != nil {
			m.d.log.Error("a device is not mirrored", "device", d.Name, "error", err)
			continue
		}
		moved = append(moved, d.Index)
	}
	m.d.watches.readdressed(m.d, moving)
	return moved
}

// index returns the index of a named device, 0 where there is none.
func index(list []hostnet.Device, name string) int {
	i := slices.IndexFunc(list, func(d hostnet.Device) bool { return d.Name == name })
	if i < 0 {
		return 0
	}
	return list[i].Index
}

// usable returns the addresses of a device that are in use.
func usable(d *hostnet.Device) (list []netip.Prefix) {
	for _, a := range d.Addresses {
		if !a.Tentative {
			list = append(list, a.Prefix)
		}
	}
	return list
}

// vacant is the interface of a port number that has no device.
var vacant = &config.Interface{Attach: config.AttachPacket, Queues: 1, HostAddrs: true, Mirror: true}

// mirroredInterface is the interface of a device.
func mirroredInterface(device string) *config.Interface {
	c := *vacant
	c.Name, c.Device = device, device
	return &c
}

// vacate takes the device from a port.
func (m *mirror) vacate(number int) {
	if err := m.own[number].SetDevice(""); err != nil {
		m.d.log.Error("a device is not released", "error", err)
	}
	m.tell(number, vacant)
	m.spare = append(m.spare, uint16(number))
}

// occupy makes an interface of a device.
func (m *mirror) occupy(name string) error {
	for _, p := range m.d.ports.all() {
		if p.cfg.Name == name {
			return fmt.Errorf("an interface of the configuration has the name %q: give it another one", name)
		}
	}
	c := mirroredInterface(name)
	if n := len(m.spare); n > 0 {
		number := int(m.spare[n-1])
		m.spare = m.spare[:n-1]
		m.tell(number, c)
		return m.own[number].SetDevice(name)
	}
	number := len(m.d.ports.all())
	if err := m.net.Do(func() error { return m.d.openPort(c) }); err != nil {
		return err
	}
	p := m.d.ports.at(uint16(number))
	m.own[number] = p.Port.(*afpacket.Port)
	if m.d.loop == nil {
		return nil // workers and senders will find it
	}
	if err := m.d.reach(uint16(number)); err != nil {
		return err
	}
	m.tell(number, c)
	m.d.watches.follow(m.d)
	return nil
}

// tell gives a port number its interface.
func (m *mirror) tell(number int, c *config.Interface) {
	m.d.ports.set(uint16(number), c)
	if m.d.loop != nil {
		m.d.imports.call(func(now time.Time) []router.Action {
			return m.d.loop.router.SetInterface(now, uint16(number), c)
		})
	}
}

// reach gives all who send a way out by a new port, and a worker its frames.
func (d *process) reach(number uint16) error {
	p := d.ports.at(number)
	for _, s := range d.senders {
		if err := s.reach(p); err != nil {
			return err
		}
	}
	least := d.workers[0]
	for _, w := range d.workers {
		tx, err := p.NewTransmitter()
		if err != nil {
			return err
		}
		d.later(func() { _ = tx.Close() }) // nothing of it is used any more
		w.AddOutput(tx)
		if w.Inputs() < least.Inputs() {
			least = w
		}
	}
	for _, r := range p.Receivers() {
		if err := least.AddInput(worker.Input{Port: number, Receiver: r}); err != nil {
			return err
		}
	}
	return nil
}

// tellHost tells the router the addresses of the host that are on no interface:
// of the loopback device, of tunnels; not those of another VRF.
func (e *importEnd) tellHost(list []hostnet.Device) {
	var addresses []netip.Addr
	for i := range list {
		if !mirrored(&list[i]) && list[i].Master == 0 && !e.isTAP(list[i].Name) {
			for _, p := range usable(&list[i]) {
				addresses = append(addresses, p.Addr())
			}
		}
	}
	e.call(func(now time.Time) []router.Action { return e.d.loop.router.HostAddresses(now, addresses) })
}
