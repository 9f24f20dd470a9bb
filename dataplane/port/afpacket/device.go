package afpacket

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port/kernel"
	"vrouter/dataplane/port/xsk"
	"vrouter/packet"
)

// device is what a port holds while its device exists.
type device struct {
	index   int
	mtu     int
	deaf    *kernel.Deaf // nil where the kernel keeps the device's addresses
	members int          // packet socket that holds the memberships
	joined  map[membership]struct{}
	sending *xsk.Queue // of the senders of small frames; nil: none yet, or there can be none

	program *xsk.Program // nil: no express lanes
	native  bool         // the device's driver runs it
	lanes   []*xsk.Queue
	claimed int // receivers that have got theirs
	senders int // opened so far
}

// membership is one thing that a device is asked to let through.
type membership struct {
	kind uint16 // PACKET_MR_UNICAST, PACKET_MR_MULTICAST, PACKET_MR_PROMISC
	mac  packet.MAC
}

// attach opens the device; link is updated to what it is then. On an error
// nothing stays open.
func (p *Port) attach(link *kernel.Link) error {
	first := p.found.Index != link.Index
	d := &device{index: link.Index, members: -1, joined: map[membership]struct{}{}}
	p.device = d
	if first {
		p.found = *link
	}
	err := p.openDevice(d, link)
	if err == nil {
		d.mtu = link.MTU
		err = p.openSockets(d, link)
	}
	if err == nil {
		err = p.subscribe()
	}
	if err != nil {
		p.detach()
	}
	return err
}

// openDevice makes the device ready: first the kernel is kept off it, then it
// is set up.
func (p *Port) openDevice(d *device, link *kernel.Link) (err error) {
	if p.cfg.OwnAddresses {
		if err := p.deafen(d); err != nil {
			return err
		}
	}
	if p.cfg.MTU != 0 && link.MTU != p.cfg.MTU {
		if err := p.net.SetMTU(d.index, p.cfg.MTU); err != nil {
			return kernel.Permission(fmt.Sprintf("set MTU %d", p.cfg.MTU), err)
		}
	}
	if !link.Admin && !p.cfg.LeaveAlone {
		if err := p.net.SetAdmin(d.index, true); err != nil {
			return kernel.Permission("set the device up", err)
		}
	}
	now, found, err := p.net.Link(p.cfg.Device)
	if err == nil && (!found || now.Index != d.index) {
		err = fmt.Errorf("device %s: %w", p.cfg.Device, unix.ENODEV)
	}
	*link = now
	return err
}

// deafen takes the kernel off the device. Addresses that the kernel has there
// are most likely a mistake, but one that costs nothing while it hears
// nothing; where it would go on answering for them, the device is refused.
func (p *Port) deafen(d *device) error {
	deaf, err := p.net.Deafen(p.cfg.Device, d.index)
	if err != nil {
		return err
	}
	d.deaf = deaf
	p.log.Info("kernel is kept off the device", "means", deaf.Means())
	addrs, err := p.net.Addresses(d.index)
	if err != nil || len(addrs) == 0 {
		return err
	}
	remedy := fmt.Sprintf("remove them (ip addr flush dev %s), or set addresses = \"host\"", p.cfg.Device)
	if !deaf.Complete() {
		return fmt.Errorf("the kernel has addresses %v on device %s and would answer for them: %s",
			addrs, p.cfg.Device, remedy)
	}
	p.log.Warn("the kernel's addresses on the device are out of service while the router owns it",
		"addresses", addrs, "remedy", remedy)
	return nil
}

func (p *Port) openSockets(d *device, link *kernel.Link) (err error) {
	if d.members, err = packetSocket(); err != nil {
		return err
	}
	if p.cfg.Express != nil {
		if err := p.openExpress(d, max(link.RXQueues, 1)); err != nil {
			return err
		}
	}
	group := -1
	var rings []*ring
	for i, q := range p.queues {
		g, err := openRing(d.index, link.MTU)
		if err != nil {
			return err
		}
		d.claimed++
		g.lanes = d.share(i, len(p.queues)) // closed with the ring
		if len(p.queues) > 1 {
			if group, err = joinFanout(g.fd, group); err != nil {
				g.close()
				return err
			}
		}
		if err := q.attach(g); err != nil {
			g.close()
			return err
		}
		rings = append(rings, g) // the queue closes it from now on
	}
	for _, g := range rings {
		if err := g.listen(); err != nil {
			return err
		}
	}
	for t := range p.paths {
		if err := p.openPath(t, d); err != nil {
			return err
		}
	}
	return d.serveExpress()
}

// setMTU follows the device's MTU.
func (d *device) setMTU(mtu int, paths map[*transmitter]struct{}) {
	if d.mtu == mtu {
		return
	}
	d.mtu = mtu
	for t := range paths {
		t.setMTU(mtu)
	}
}

func (p *Port) openPath(t *transmitter, d *device) error {
	t.setMTU(d.mtu)
	fast, busy := p.openFast(d)
	t.slowed.Store(busy)
	return p.openSocket(t, d, fast)
}

func (p *Port) openSocket(t *transmitter, d *device, fast *xsk.Sender) error {
	fd, vnetLen, err := openTransmit(d.index, p.cfg.OwnAddresses)
	if err != nil {
		if fast != nil {
			fast.Close()
		}
		return err
	}
	least := fastLeast
	if d.program != nil {
		least = 1 // a frame that came by AF_XDP goes without a copy
	}
	t.attach(&txSocket{fd, vnetLen, fast, least})
	return nil
}

// openFast opens a sender of small frames; nil where the device or the process
// may not have one, or cannot have it now (busy). A device with a queueing
// discipline gets none: frames would go past the operator's traffic control, and
// overtake those that wait there.
func (p *Port) openFast(d *device) (fast *xsk.Sender, busy bool) {
	var err error
	switch {
	case len(d.lanes) > 0:
		fast, err = d.lanes[d.senders%len(d.lanes)].Sender()
		d.senders++
	case p.net.Queueless(d.index):
		fast, err = d.sender()
	}
	if err == nil {
		return fast, false
	}
	p.log.Debug("small frames go by sendmmsg", "error", err)
	return nil, errors.Is(err, unix.EBUSY)
}

// sender opens a sender of small frames on a device without lanes.
func (d *device) sender() (*xsk.Sender, error) {
	if d.sending == nil {
		memory, err := xsk.NewMemory(xsk.SendBuffers)
		if err != nil {
			return nil, err
		}
		if d.sending, err = xsk.OpenSendQueue(memory, d.index, 0); err != nil {
			memory.Discard()
			d.sending = nil
			return nil, err
		}
	}
	return d.sending.Sender()
}

// quicken opens senders of small frames again that were lost with the link, or
// that a process before this one still had, and reports whether some still
// cannot be had.
func (p *Port) quicken() (busy bool) {
	if p.device == nil || !p.status.Up {
		return false
	}
	for t := range p.paths {
		if !t.slowed.Load() {
			continue
		}
		fast, still := p.openFast(p.device)
		busy = busy || still
		if fast == nil {
			continue
		}
		t.slowed.Store(false)
		if err := p.openSocket(t, p.device, fast); err != nil {
			p.log.Debug("small frames go by sendmmsg", "error", err)
		}
	}
	return busy
}

// detach closes the device.
func (p *Port) detach() {
	if d := p.device; d != nil {
		p.closeSockets(d)
		p.undeafen(d)
	}
}

// giveBack closes the device and undoes what the port has changed on it. The
// memberships go first: the kernel forgets to end promiscuous mode where they
// end on a device that is down. The kernel is let in again last.
func (p *Port) giveBack() error {
	d := p.device
	if d == nil {
		return p.restore()
	}
	p.closeSockets(d)
	err := p.restore()
	p.undeafen(d)
	return err
}

func (p *Port) closeSockets(d *device) {
	p.device = nil
	for _, q := range p.queues {
		_ = q.attach(nil) // detaching does not fail
	}
	for t := range p.paths {
		t.attach(nil)
	}
	d.closeExpress(len(p.queues))
	if d.sending != nil {
		d.sending.Close()
	}
	if d.members >= 0 {
		unix.Close(d.members)
	}
}

func (p *Port) undeafen(d *device) {
	if d.deaf == nil {
		return
	}
	if err := d.deaf.Close(); err != nil {
		p.log.Warn("device is not given back to the kernel as it was", "error", err)
	}
}

// subscribe makes the device let through what the port wants: the virtual
// MACs, its own where that is not the device's, and the groups.
func (p *Port) subscribe() error {
	if p.device == nil {
		return nil // attach comes here again
	}
	want := map[membership]struct{}{}
	if p.device.program != nil {
		if err := p.device.program.SetMACs(p.macs); err != nil {
			return fmt.Errorf("virtual MAC addresses of AF_XDP: %w", err)
		}
	}
	for _, mac := range p.macs {
		want[membership{unix.PACKET_MR_UNICAST, mac}] = struct{}{}
	}
	if !p.cfg.MAC.IsZero() {
		want[membership{unix.PACKET_MR_UNICAST, p.cfg.MAC}] = struct{}{}
	}
	for _, mac := range p.groups {
		want[membership{unix.PACKET_MR_MULTICAST, mac}] = struct{}{}
	}
	return p.device.join(want)
}

// join joins what is new in want and then leaves what is not in it. Where the
// device refuses an address, it is made to let everything through.
func (d *device) join(want map[membership]struct{}) error {
	var errs []error
	all := membership{kind: unix.PACKET_MR_PROMISC}
	_, promiscuous := d.joined[all]
	for m := range want {
		if _, ok := d.joined[m]; ok {
			continue
		}
		err := d.membership(unix.PACKET_ADD_MEMBERSHIP, m)
		if err == nil {
			d.joined[m] = struct{}{}
			continue
		}
		if !promiscuous {
			if failed := d.membership(unix.PACKET_ADD_MEMBERSHIP, all); failed != nil {
				errs = append(errs, fmt.Errorf("receive frames for %v: %w; promiscuous mode: %w", m.mac, err, failed))
				continue
			}
			d.joined[all], promiscuous = struct{}{}, true
		}
	}
	for m := range d.joined {
		if _, ok := want[m]; ok || m == all {
			continue
		}
		if err := d.membership(unix.PACKET_DROP_MEMBERSHIP, m); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			errs = append(errs, err)
		}
		delete(d.joined, m)
	}
	return errors.Join(errs...)
}

func (d *device) membership(option int, m membership) error {
	req := unix.PacketMreq{Ifindex: int32(d.index), Type: m.kind, Alen: uint16(len(m.mac))}
	copy(req.Address[:], m.mac[:])
	return unix.SetsockoptPacketMreq(d.members, unix.SOL_PACKET, option, &req)
}
