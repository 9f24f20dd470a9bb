package hostnet

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Times of looking again.
const (
	// settleTime is how long a doubt waits for others that come with it.
	settleTime = 30 * time.Millisecond
	// restTimes is the least pause between two looks, in times of the last
	// one's duration: looking takes a fifth of one CPU at most.
	restTimes = 4
	// retryTime is the pause after a look that failed.
	retryTime = time.Second
	// roomDefault is the room for notices, in bytes: some 30,000 routes.
	roomDefault = 16 << 20
	// roundMost bounds the datagrams of notices that are read between two
	// batches of changes.
	roundMost = 256
	// looksMost bounds how often devices are looked at because they changed
	// meanwhile.
	looksMost = 8
)

// Config is what a Follower needs.
type Config struct {
	Table uint32 // whose routes are followed; 254 is "main"
	Room  int    // for notices that were not read yet, in bytes; 0: 16 MiB
}

// Status is what a Follower tells of its work.
type Status struct {
	Synced   bool   // a look has come to its end since the start or the last overrun
	Routes   int    // that the kernel has in the table
	Overruns uint64 // times that the kernel had more to tell than the socket holds
	Looks    uint64 // at all routes, the first included
	Took     time.Duration
	Problem  string // why the kernel is not followed now; empty: it is
}

// Sink takes what a Follower finds, from its goroutine. A call may block: the
// kernel's changes wait meanwhile, and those of one route become one.
type Sink interface {
	// Devices takes all devices, by index, whenever one has changed; it comes
	// before the routes by them. Routes by the devices that it returns are told
	// anew.
	Devices(list []Device) (again []int)
	// Routes takes changes, at most BatchMax, in their order. The slice is the
	// Follower's.
	Routes(changes []Change)
	// Status comes when Synced, Overruns, Looks or Problem have changed.
	Status(s Status)
}

// Follower follows the kernel; New opens one, Run works.
type Follower struct {
	cfg     Config
	sink    Sink
	view    *View
	notices int // sockets: what the kernel tells,
	answers int // looks at routes,
	device  int // looks at devices
	stop    int // eventfd
	buf     []byte
	list    []Change

	devices   []Device
	stale     bool      // devices are to be looked at
	lookAt    time.Time // when routes are to be looked at again; zero: not
	restUntil time.Time // no look begins before
	began     time.Time // of the look that goes on; zero: none
	families  []byte    // that this look has still to ask for
	asked     bool      // answers are still to come, even if nobody wants them any more
	serial    uint32    // of the last request for routes
	devSerial uint32    // of the last request for devices
	status    Status
	told      Status
}

// New opens what is needed, in the network namespace of the calling thread.
func New(cfg Config, sink Sink) (*Follower, error) {
	if cfg.Room == 0 {
		cfg.Room = roomDefault
	}
	f := &Follower{
		cfg: cfg, sink: sink, view: NewView(cfg.Table), notices: -1, answers: -1, device: -1, stop: -1,
		buf: make([]byte, 1<<18), stale: true,
	}
	err := f.open()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("following the kernel's routes: %w", err)
	}
	return f, nil
}

func (f *Follower) open() (err error) {
	if f.notices, err = dialNotices(f.cfg.Room); err != nil {
		return err
	}
	if f.answers, err = dial(); err != nil {
		return err
	}
	// The kernel then leaves other tables out itself (Linux 4.20).
	_ = unix.SetsockoptInt(f.answers, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	if f.device, err = dial(); err != nil {
		return err
	}
	f.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return err
}

// Stop ends Run. It may be called from any goroutine.
func (f *Follower) Stop() { _, _ = unix.Write(f.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// Close releases the sockets; Run has ended, or was never called.
func (f *Follower) Close() {
	for _, fd := range []int{f.notices, f.answers, f.device, f.stop} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// Look looks at the devices before Run, so that the sink knows them.
func (f *Follower) Look() error {
	f.lookAtDevices()
	if f.status.Problem != "" {
		return errors.New(f.status.Problem)
	}
	return nil
}

// Run follows the kernel until Stop.
func (f *Follower) Run() {
	f.lookAt = time.Now()
	for {
		if awake(f.patience(), f.stop, f.notices, f.answers) {
			return
		}
		f.readNotices()
		if f.stale {
			f.lookAtDevices()
		}
		f.look()
		if f.view.Waiting() {
			f.list = f.view.Take(f.list[:0])
			f.sink.Routes(f.list)
			clear(f.list)
		}
		f.tell()
	}
}

// patience is for how long there is nothing to do unless the kernel speaks, in
// milliseconds.
func (f *Follower) patience() int {
	switch {
	case f.view.Waiting() || f.stale:
		return 0
	case f.asked || f.lookAt.IsZero():
		return -1
	}
	return max(0, int(time.Until(f.due())/time.Millisecond)+1)
}

// due is when the next look may begin.
func (f *Follower) due() time.Time {
	if f.restUntil.After(f.lookAt) {
		return f.restUntil
	}
	return f.lookAt
}

// again asks for another look at routes.
func (f *Follower) again(in time.Duration) {
	if at := time.Now().Add(in); f.lookAt.IsZero() || at.Before(f.lookAt) {
		f.lookAt = at
	}
}

// tell hands out the status where it is another one.
func (f *Follower) tell() {
	f.status.Routes = f.view.Len()
	// All changes must have been handed out before "synced" is said.
	s := f.status
	s.Synced = s.Synced && (f.told.Synced || !f.view.Waiting())
	if s.Synced != f.told.Synced || s.Overruns != f.told.Overruns || s.Looks != f.told.Looks || s.Problem != f.told.Problem {
		f.told = s
		f.sink.Status(s)
	}
}

// readNotices takes what the kernel tells.
func (f *Follower) readNotices() {
	for range roundMost {
		n, err := receive(f.notices, f.buf)
		switch {
		case errors.Is(err, ErrOverrun):
			f.overrun()
			continue
		case err != nil:
			f.status.Problem = err.Error()
			f.again(retryTime)
			return
		case n == 0:
			return
		}
		parse(f.buf[:n], f.notice)
		if f.view.Doubt() {
			f.again(settleTime)
		}
	}
}

// overrun begins anew: everything may have changed. What is known stays until
// the next look has told what is gone.
func (f *Follower) overrun() {
	f.status.Overruns++
	f.status.Synced = false
	f.tell()
	f.stale = true
	f.abandon()
	f.again(0)
}

func (f *Follower) notice(m *message) {
	switch {
	case m.device != nil, m.address != nil, m.forwards != nil:
		f.stale = true
	case m.route != nil:
		f.view.notice(m)
	case m.others:
		f.again(settleTime)
	}
}

// lookAtDevices looks at all devices and their addresses.
func (f *Follower) lookAtDevices() {
	f.stale = false
	for range looksMost {
		list, torn, err := f.dumpDevices()
		if err != nil {
			f.status.Problem = err.Error()
			f.again(retryTime)
			return
		}
		if !torn {
			f.found(list)
			return
		}
	}
	f.stale = true // they change all the time; the routes have their turn first
}

// found takes the devices as they are now. Routes that relied on something that
// has gone may have gone in silence.
func (f *Follower) found(list []Device) {
	was := f.devices
	if slices.EqualFunc(was, list, Device.equal) {
		return
	}
	f.devices = list
	moved := f.sink.Devices(list)
	for i := range list {
		d := &list[i]
		old := find(was, d.Index)
		if old == nil || old.Name != d.Name {
			moved = append(moved, d.Index)
		}
	}
	for i := range was {
		old := &was[i]
		d := find(list, old.Index)
		if d == nil {
			moved = append(moved, old.Index)
		}
		if d == nil || old.Admin && !d.Admin || slices.ContainsFunc(old.Addresses, func(a Address) bool {
			return !slices.Contains(d.Addresses, a)
		}) {
			f.again(settleTime)
		}
	}
	f.view.Moved(moved)
}

func (d Device) equal(o Device) bool {
	return d.Index == o.Index && d.Name == o.Name && d.Kind == o.Kind && d.Ethernet == o.Ethernet &&
		d.MAC == o.MAC && d.MTU == o.MTU && d.Admin == o.Admin && d.Master == o.Master && d.Forwards4 == o.Forwards4 && d.Forwards6 == o.Forwards6 &&
		slices.Equal(d.Addresses, o.Addresses)
}

func find(list []Device, index int) *Device {
	for i := range list {
		if list[i].Index == index {
			return &list[i]
		}
	}
	return nil
}

// dumpDevices asks for all devices and addresses; torn: they changed meanwhile.
func (f *Follower) dumpDevices() (list []Device, torn bool, err error) {
	err = f.dump(unix.RTM_GETLINK, unix.AF_UNSPEC, unix.SizeofIfInfomsg, func(m *message) {
		torn = torn || m.torn
		if m.device != nil {
			list = append(list, *m.device)
		}
	})
	if err != nil || torn {
		return nil, torn, err
	}
	at := make(map[int]int, len(list))
	for i := range list {
		at[list[i].Index] = i
	}
	err = f.dump(unix.RTM_GETADDR, unix.AF_UNSPEC, unix.SizeofIfAddrmsg, func(m *message) {
		torn = torn || m.torn
		if m.address == nil {
			return
		}
		if i, ok := at[m.address.device]; ok {
			list[i].Addresses = append(list[i].Addresses, m.address.Address)
		}
	})
	if err == nil {
		err = f.dumpForwarding(list)
	}
	return list, torn, err
}

// dumpForwarding asks by which devices the kernel forwards. A kernel that does
// not tell is taken for one that does not.
func (f *Follower) dumpForwarding(list []Device) error {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		err := f.dump(unix.RTM_GETNETCONF, family, 4, func(m *message) {
			if m.forwards == nil {
				return
			}
			for i := range list {
				switch d := &list[i]; {
				case d.Index != m.forwards.device && (m.forwards.device != allDevices || !m.forwards.ipv6):
				case m.forwards.ipv6:
					d.Forwards6 = d.Forwards6 || m.forwards.on
				default:
					d.Forwards4 = m.forwards.on
				}
			}
		})
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	return nil
}

// dump asks the kernel and waits for the whole answer.
func (f *Follower) dump(kind uint16, family byte, length int, each func(*message)) error {
	f.devSerial++
	if err := request(f.device, kind, f.devSerial, family, length, 0); err != nil {
		return fmt.Errorf("route netlink: look at devices: %w", err)
	}
	for done := false; !done; {
		awake(-1, f.device)
		n, err := receive(f.device, f.buf)
		if err != nil {
			return err
		}
		var failed unix.Errno
		parse(f.buf[:n], func(m *message) {
			if m.serial != f.devSerial {
				return
			}
			each(m)
			done, failed = done || m.done || m.failed != 0, max(failed, m.failed)
		})
		if failed != 0 {
			return fmt.Errorf("route netlink: look at devices: %w", failed)
		}
	}
	return nil
}

// look takes the look at routes a step further, or begins one.
func (f *Follower) look() {
	if f.asked {
		n, err := receive(f.answers, f.buf)
		if err != nil {
			f.asked = false
			f.failed(err)
			return
		}
		parse(f.buf[:n], f.answer)
		return
	}
	if now := time.Now(); f.lookAt.IsZero() || f.due().After(now) {
		return
	}
	f.lookAt, f.began = time.Time{}, time.Now()
	f.view.Begin()
	f.families = []byte{unix.AF_INET, unix.AF_INET6}
	f.ask()
}

// ask asks for the routes of the next family.
func (f *Follower) ask() {
	f.serial++
	if err := request(f.answers, unix.RTM_GETROUTE, f.serial, f.families[0], unix.SizeofRtMsg, f.cfg.Table); err != nil {
		f.failed(fmt.Errorf("route netlink: look at routes: %w", err))
		return
	}
	f.asked = true
}

func (f *Follower) answer(m *message) {
	if m.serial != f.serial {
		return
	}
	if m.done || m.failed != 0 {
		f.asked = false
	}
	switch {
	case f.began.IsZero(): // abandoned
	case m.failed == unix.EOPNOTSUPP, m.failed == unix.EAFNOSUPPORT, m.failed == unix.ENOENT:
		// The kernel is without this family, or the table does not exist (yet).
		f.answered()
	case m.failed != 0:
		f.failed(fmt.Errorf("route netlink: look at routes: %w", m.failed))
	case m.done:
		f.answered()
	case m.route != nil:
		f.view.noisy = f.view.noisy || m.torn
		f.view.saw(m.route)
	}
}

// answered ends the look at one family.
func (f *Follower) answered() {
	if f.families = f.families[1:]; len(f.families) > 0 {
		f.ask()
		return
	}
	f.view.End()
	f.status.Took = time.Since(f.began)
	f.began, f.restUntil = time.Time{}, time.Now().Add(restTimes*f.status.Took)
	f.status.Synced, f.status.Problem = true, ""
	f.status.Looks++
	if f.view.Doubt() {
		f.again(settleTime)
	}
}

// failed ends a look that did not succeed.
func (f *Follower) failed(err error) {
	f.status.Problem = err.Error()
	f.abandon()
	f.again(retryTime)
}

// abandon ends the look that goes on, if any; what is still answered to it is
// read and left out.
func (f *Follower) abandon() {
	if !f.began.IsZero() {
		f.began = time.Time{}
		f.view.Abandon()
	}
}
