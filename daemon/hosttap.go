package daemon

import (
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"vrouter/dataplane"
	"vrouter/dataplane/port"
	"vrouter/dataplane/port/hosttap"
	"vrouter/dataplane/port/kernel"
	"vrouter/packet"
	"vrouter/router"
)

// Times of the host TAPs.
const (
	// tapRetry is the pause before what has failed is tried again.
	tapRetry = time.Second
	// tapReview is how often host TAPs are put right that others have changed.
	tapReview = 10 * time.Second
	// failedMost bounds the packets without a neighbour that the kernel is still
	// to be told of.
	failedMost = 64
)

// hostEnd keeps the host TAPs: a goroutine that makes them what the router
// wants, and takes what the kernel sends on them. What is for the kernel the
// local stack's goroutine hands in.
type hostEnd struct {
	log    *slog.Logger
	net    *kernel.Net // where TAPs are made
	tell   func(port uint16, s router.HostTAPState)
	sender *sender

	wanted  mailbox[[]router.HostTAP]
	wake    int // eventfd: wanted has changed, or it is over
	over    atomic.Bool
	done    chan struct{}
	taps    map[uint16]*hostTAP // of the goroutine
	batch   []packet.Frame
	failed  chan []byte
	refused atomic.Uint64 // frames of the kernel that are nobody's business outside

	mu    sync.Mutex // guards owner and the TAPs' transmitters
	owner map[netip.Addr]*hostTAP
	links map[linkAddress]*hostTAP
	all   map[uint16]*hostTAP // as taps
}

// linkAddress is a link-local address, which means something on its link alone.
type linkAddress struct {
	port uint16
	addr netip.Addr
}

// hostTAP is one of them.
type hostTAP struct {
	want  router.HostTAP
	tap   *hosttap.TAP // nil: not there yet
	retry time.Time    // when to try again, or to review
	told  router.HostTAPState
	out   []*packet.Frame // room for one
}

// openHost makes ready for host TAPs.
func (d *process) openHost() error {
	n, err := kernel.Here()
	if err != nil {
		return err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		n.Close()
		return err
	}
	s, err := d.newSender()
	if err != nil {
		unix.Close(wake)
		n.Close()
		return err
	}
	d.local.host = &hostEnd{
		log: d.log, net: n, sender: s, wake: wake, done: make(chan struct{}),
		failed: make(chan []byte, failedMost),
		wanted: newMailbox[[]router.HostTAP](), taps: map[uint16]*hostTAP{},
		batch: make([]packet.Frame, port.BatchMax),
		tell: func(port uint16, s router.HostTAPState) {
			d.loop.act(func(now time.Time) []router.Action { return d.loop.router.HostTAPChanged(now, port, s) })
		},
	}
	go d.local.host.run()
	d.later(d.local.host.close)
	return nil
}

// want notes what host TAPs there are to be.
func (h *hostEnd) want(list []router.HostTAP) {
	h.wanted.put(list)
	h.kick()
}

func (h *hostEnd) kick() { _, _ = unix.Write(h.wake, wakeOne[:]) }

// close ends the goroutine and the TAPs.
func (h *hostEnd) close() {
	h.over.Store(true)
	h.kick()
	<-h.done
	unix.Close(h.wake)
	h.net.Close()
}

// run is the goroutine.
func (h *hostEnd) run() {
	defer close(h.done)
	for !h.over.Load() {
		h.follow()
		h.wait()
		h.failures()
		for _, t := range h.taps {
			if t.tap != nil {
				h.fromKernel(t)
			}
		}
	}
	for _, t := range h.taps {
		h.drop(t)
	}
}

// wait sleeps until the kernel has sent something, a TAP or what is wanted has
// changed, or something is to be tried again.
func (h *hostEnd) wait() {
	fds := []unix.PollFd{{Fd: int32(h.wake), Events: unix.POLLIN}}
	timeout := time.Duration(-1)
	for _, t := range h.taps {
		if t.tap != nil {
			fds = append(fds, unix.PollFd{Fd: int32(t.tap.Receiver().FD()), Events: unix.POLLIN})
		}
		if left := max(time.Until(t.retry), 0); timeout < 0 || left < timeout {
			timeout = left
		}
	}
	milliseconds := -1
	if timeout >= 0 {
		milliseconds = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	_, _ = unix.Poll(fds, milliseconds) // EINTR: looked at again
	var drain [8]byte
	_, _ = unix.Read(h.wake, drain[:]) // EAGAIN: nothing was there
}

// follow brings the TAPs in step with what is wanted.
func (h *hostEnd) follow() {
	select {
	case <-h.wanted.full:
		h.arrange(*h.wanted.value.Load())
	default:
	}
	for _, t := range h.taps {
		changed := false
		if t.tap != nil {
			select {
			case <-t.tap.Changed():
				changed = true
			default:
			}
		}
		if changed || !time.Now().Before(t.retry) {
			h.make(t)
		}
	}
}

// arrange takes another list of TAPs.
func (h *hostEnd) arrange(list []router.HostTAP) {
	wanted := map[uint16]bool{}
	for _, w := range list {
		wanted[w.Port] = true
		t := h.taps[w.Port]
		if t == nil {
			t = &hostTAP{out: make([]*packet.Frame, 1)}
			h.taps[w.Port] = t
		}
		if !reflect.DeepEqual(t.want, w) {
			h.mu.Lock()
			t.want, t.retry = w, time.Time{}
			h.mu.Unlock()
		}
	}
	for number, t := range h.taps {
		if !wanted[number] {
			h.drop(t)
			delete(h.taps, number)
		}
	}
	h.assign()
}

// make makes a TAP what it is to be, or notes why it is not.
func (h *hostEnd) make(t *hostTAP) {
	cfg := hosttap.Config{
		Device: t.want.Device, MAC: t.want.MAC, MTU: t.want.MTU, Addresses: t.want.Addresses, Carrier: t.want.Up,
		Default4: t.want.Default4, Default6: t.want.Default6,
	}
	for _, r := range t.want.Routes {
		cfg.Routes = append(cfg.Routes, hosttap.Route(r))
	}
	var err error
	if t.tap == nil {
		err = h.net.Do(func() (err error) {
			opened, err := hosttap.Open(cfg, h.log)
			h.mu.Lock()
			t.tap = opened
			h.mu.Unlock()
			return err
		})
	}
	if err == nil {
		err = h.net.Do(func() error { return t.tap.Set(cfg) })
	}
	var s router.HostTAPState
	if t.tap != nil {
		s.Up, s.Index = t.tap.Ready(), t.tap.Index()
	}
	t.retry = time.Now().Add(tapReview)
	if err != nil {
		s.Problem = err.Error()
		t.retry = time.Now().Add(tapRetry)
	}
	h.assign()
	if s == t.told {
		return
	}
	if err != nil {
		h.log.Error("the host's kernel does not have all that it is to have of an interface on its TAP; trying again",
			"device", t.want.Device, "up", s.Up, "error", err)
	} else {
		h.log.Info("the host's kernel has the addresses of an interface on a TAP", "device", t.want.Device, "addresses", t.want.Addresses)
	}
	t.told = s
	h.tell(t.want.Port, s)
}

// drop ends a TAP.
func (h *hostEnd) drop(t *hostTAP) {
	h.mu.Lock()
	tap := t.tap
	t.tap = nil
	h.mu.Unlock()
	if tap != nil {
		_ = h.net.Do(func() error {
			tap.Close()
			return nil
		})
	}
}

// assign notes which TAP has which address. Addresses of a TAP that is not there
// are the local stack's.
func (h *hostEnd) assign() {
	owner, links := map[netip.Addr]*hostTAP{}, map[linkAddress]*hostTAP{}
	for _, t := range h.taps {
		if t.tap == nil {
			continue
		}
		for _, p := range t.want.Addresses {
			if a := p.Addr(); !t.tap.Has(a) {
				continue // the local stack's
			} else if a.IsLinkLocalUnicast() {
				links[linkAddress{t.want.Port, a}] = t
			} else {
				owner[a] = t
			}
		}
	}
	h.mu.Lock()
	h.owner, h.links, h.all = owner, links, maps.Clone(h.taps)
	h.mu.Unlock()
}

// device returns the host TAP of a port, where the kernel has an address there
// that speaks to an address: the one whose prefix holds it, else the first of the
// family.
func (h *hostEnd) device(number uint16, to netip.Addr) (name string, from netip.Addr, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.all[number]
	if t == nil {
		return "", from, false
	}
	for _, p := range t.want.Addresses {
		a := p.Addr()
		if h.owner[a] != t || a.Is4() != to.Is4() {
			continue
		}
		if p.Contains(to) {
			return t.want.Device, a, true
		}
		if !from.IsValid() {
			from = a
		}
	}
	return t.want.Device, from, from.IsValid()
}

// linkDevice returns the host TAP of a port where the kernel has the link-local
// address.
func (h *hostEnd) linkDevice(number uint16) (name string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for at, t := range h.links {
		if at.port == number && at.addr.Is6() {
			return t.want.Device, true
		}
	}
	return "", false
}

// traffic returns what went to the kernel on the TAP of a port, and what came
// from it, since the TAP was made.
func (h *hostEnd) traffic(number uint16) (to, from router.TrafficStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.all[number]; t != nil && t.tap != nil {
		to, from = trafficStatus(t.tap.Transmitter().Stats()), trafficStatus(t.tap.Receiver().Stats())
	}
	return to, from
}

func trafficStatus(s port.Stats) router.TrafficStatus {
	return router.TrafficStatus{Packets: s.Frames, Bytes: s.Bytes, Dropped: s.Dropped()}
}

// toKernel hands a frame that came in by a port to the kernel, where its
// destination is the kernel's, and reports for whom it is. Answers to questions
// of the local stack cannot be told from those to the kernel's: both get them.
func (h *hostEnd) toKernel(in uint16, frame []byte) (kernel, stack bool) {
	dst, ok := dataplane.Destination(frame)
	if !ok {
		return false, true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.owner[dst]
	if dst.IsLinkLocalUnicast() {
		t = h.links[linkAddress{in, dst}]
	}
	if t == nil || t.tap == nil {
		return false, true
	}
	f := packet.Frame{Data: frame}
	copy(frame, t.want.MAC[:]) // it may have come by another interface, or to a virtual MAC
	dataplane.MarkSegments(&f, t.want.MTU)
	t.transmit(&f)
	return true, dataplane.MayAnswerPing(frame)
}

// fromKernel sends what the kernel has sent on a TAP.
func (h *hostEnd) fromKernel(t *hostTAP) {
	r := t.tap.Receiver()
	n, err := r.Receive(h.batch)
	if err != nil && !errors.Is(err, unix.EAGAIN) && n == 0 {
		return // the device is gone: another one comes
	}
	if h.sender.snapshot.Load() == nil {
		return // not started yet
	}
	h.sender.begin()
	for i := range h.batch[:n] {
		f := &h.batch[i]
		if !goesOut(f.Data) {
			h.refused.Add(1)
			continue
		}
		v := h.sender.route(t.want.Port, f)
		if v.Action == dataplane.Drop {
			h.refuse(t, f, v)
		}
		h.sender.settle(t.want.Port, f, v, true)
	}
}

// goesOut reports whether a frame of the kernel's is for others: the addresses
// that the router has to the host are nobody's outside.
func goesOut(frame []byte) bool {
	dst, _ := dataplane.Destination(frame)
	return dataplane.FromHost(frame) && dst != hosttap.Gateway4 && dst != hosttap.Gateway6
}

// refuse tells the kernel by an ICMP error that a packet of its does not go out.
func (h *hostEnd) refuse(t *hostTAP, f *packet.Frame, v dataplane.Verdict) {
	b := h.sender.forward.Refuse(f, v, hosttap.Gateway4, hosttap.Gateway6)
	if b == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	copy(b, t.want.MAC[:])
	copy(b[6:], gatewayMAC[:])
	t.transmit(&packet.Frame{Data: b})
}

// gatewayMAC is what frames come from in which the router itself speaks to the
// host: a locally administered address (IEEE 802 8.4.2).
var gatewayMAC = packet.MAC{2, 0, 'v', 'r', 0, 0}

// transmit hands a frame to the kernel. The caller holds hostEnd.mu.
func (t *hostTAP) transmit(f *packet.Frame) {
	t.out[0] = f
	t.tap.Transmitter().Transmit(t.out)
	t.out[0] = nil
}

// unreachable notes a packet whose next hop does not resolve: where the kernel
// has sent it, it is to know. It never blocks.
func (h *hostEnd) unreachable(frame []byte) {
	select {
	case h.failed <- frame:
		h.kick()
	default: // it knows by others
	}
}

// failures tells the kernel of such packets.
func (h *hostEnd) failures() {
	for {
		select {
		case frame := <-h.failed:
			src, ok := dataplane.Source(frame)
			t := h.owner[src]
			if ok && t != nil && t.tap != nil {
				h.sender.begin()
				f := packet.Frame{Data: frame}
				h.refuse(t, &f, dataplane.Verdict{Cause: dataplane.Cause{Reason: dataplane.ReasonUnreachable}})
				h.sender.forward.Flush()
			}
		default:
			return
		}
	}
}
