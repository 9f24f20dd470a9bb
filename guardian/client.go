package guardian

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// marker is the environment variable that tells a process what it is: the
// guardian under its own title, or the router process with its pid as proof.
const (
	marker       = "VROUTER_PROCESS"
	guardianMark = "guardian:"
	routerMark   = "router:"
)

// restartsVariable tells the router process how often it was started anew.
const restartsVariable = "VROUTER_RESTARTS"

// restarts is what TakeRole has found there.
var restarts uint64

// Restarts returns how often the guardian has started the router process anew
// before this one; 0 also where there is no guardian. TakeRole comes first.
func Restarts() uint64 { return restarts }

// The descriptors on which the router process finds its guardian.
const (
	inherited         = 3
	inheritedLifeline = 4
)

// Role is what a process of the program is.
type Role int

// The roles.
const (
	RoleNone      Role = iota // started by somebody else
	RoleGuardian              // started anew by itself (Retitle)
	RoleRouter                // started by Run: Inherit works
	RoleCompanion             // started by Run, because the router process asked for it
)

// restartCount reads the variable; 0 where it says nothing.
func restartCount(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// TakeRole returns what this process is, and takes the mark out of the
// environment, so that no program that it starts mistakes itself for it. It
// works once.
func TakeRole() Role {
	value := os.Getenv(marker)
	count := os.Getenv(restartsVariable)
	os.Unsetenv(marker)
	os.Unsetenv(restartsVariable)
	is := func(mark string, pid int) bool {
		text, ok := strings.CutPrefix(value, mark)
		return ok && text == strconv.Itoa(pid)
	}
	switch {
	case is(guardianMark, os.Getpid()):
		return RoleGuardian
	case is(companionMark, os.Getppid()):
		return RoleCompanion
	case is(routerMark, os.Getppid()):
		unix.CloseOnExec(inherited)
		unix.CloseOnExec(inheritedLifeline)
		restarts = restartCount(count)
		return RoleRouter
	}
	return RoleNone
}

// Retitle executes the program anew in this process, under a title that ps
// shows, as RoleGuardian. It returns only where that fails.
func Retitle(path string, args []string) error {
	mark := marker + "=" + guardianMark + strconv.Itoa(os.Getpid())
	return unix.Exec(path, args, append(os.Environ(), mark))
}

// Name sets the short name of this process, of which the kernel keeps 15
// bytes; where it cannot, the name stays what it was.
func Name(name string) {
	_ = os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid()), []byte(name), 0)
}

// Client is the router process' way to its guardian. But for Gone and Dying it
// belongs to one goroutine. Nothing ever blocks: what the guardian does not
// take now is sent with a later Beat. A nil Client does nothing.
type Client struct {
	fd       int
	gone     chan struct{}
	watchdog time.Duration
	wills    map[string]struct{} // names of those that are left with the guardian
	next     int64               // boot time at which a heartbeat is due
	pending  []pending
	lifeline *lifeline
}

// pending is a message that could not be sent yet. A later one of the same key
// takes its place.
type pending struct {
	key  string
	data []byte
	fd   int // to go with it, and to be closed then; -1: none
}

// lastFD is beyond any descriptor that the process opens later. When it ends,
// Linux closes the highest descriptor first, and each packet socket takes
// milliseconds: the guardian must not wait for them.
const lastFD = 4000

// Inherit returns the client of a process of RoleRouter; it works once.
func Inherit() (*Client, error) {
	if kind, err := unix.GetsockoptInt(inherited, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_SEQPACKET {
		return nil, errors.New("the guardian's socket is not there: start \"vrouter run\"")
	}
	line, err := openLifeline(inheritedLifeline)
	if err != nil {
		return nil, err
	}
	unix.Close(inheritedLifeline)
	return newClient(lastDescriptor(inherited), line)
}

// lastDescriptor moves a descriptor up.
func lastDescriptor(fd int) int {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lastFD)
	if err != nil {
		return fd // the limit on descriptors is low: as well, but later heard of
	}
	unix.Close(fd)
	return high
}

func newClient(fd int, line *lifeline) (*Client, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	// Room for the wills of hundreds of virtual routers at once, where permitted.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	}
	c := &Client{fd: fd, gone: make(chan struct{}), wills: map[string]struct{}{}, lifeline: line}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, fd)
	if err != nil {
		return nil, err
	}
	go c.listen(os.NewFile(uintptr(own), "guardian"))
	return c, nil
}

// listen waits for the end of the guardian, which never says anything.
func (c *Client) listen(f *os.File) {
	defer close(c.gone)
	defer f.Close()
	var b [1]byte
	for {
		if n, err := f.Read(b[:]); n == 0 || err != nil {
			return
		}
	}
}

// Gone is closed when the guardian has ended: this process must hand over and
// end, since nobody would speak for it.
func (c *Client) Gone() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.gone
}

// Hello says how to watch this process. The heartbeats are due once it is ready.
func (c *Client) Hello(h Hello) {
	if c == nil {
		return
	}
	c.watchdog = h.Watchdog
	c.send("hello", &message{kind: kindHello, hello: h}, -1)
}

// Ready says that everything is open and running; from now on the watchdog
// counts.
func (c *Client) Ready() { c.send("ready", &message{kind: kindReady}, -1) }

// Reloading says that the configuration is being read again; Ready follows.
func (c *Client) Reloading() { c.send("reloading", &message{kind: kindReloading}, -1) }

// Stopping says that the hand-over has begun.
func (c *Client) Stopping() { c.send("stopping", &message{kind: kindStopping}, -1) }

// Ended says that everything is handed over, that no heartbeat comes any more,
// and that the process will be gone after most.
func (c *Client) Ended(most time.Duration) {
	c.send("ended", &message{kind: kindEnded, most: most}, -1)
}

// Keep asks for a companion process, in whose environment the text is
// (CompanionText), for as long as the guardian lives, whatever becomes of this
// process; an empty text ends it.
func (c *Client) Keep(text string) { c.send("keep", &message{kind: kindKeep, text: text}, -1) }

// Will replaces the last will of a virtual router.
func (c *Client) Will(w Will) {
	if c == nil {
		return
	}
	if len(w.Frames) == 0 {
		delete(c.wills, w.Name)
	} else if c.wills[w.Name] = struct{}{}; len(c.wills) == 1 {
		c.next = 1 // from now on the guardian is in a hurry
	}
	c.send("will "+w.Name, &message{kind: kindWill, will: w}, -1)
}

// Lend hands over a descriptor for a port's frames, in place of the one before;
// FD -1 takes that back. The descriptor belongs to the Client from now on.
func (c *Client) Lend(l Loan) {
	if c == nil {
		if l.FD >= 0 {
			unix.Close(l.FD)
		}
		return
	}
	c.send("port "+strconv.Itoa(int(l.Port)), &message{kind: kindPort, loan: l}, l.FD)
}

// Dying says that this process panics. Any goroutine may call it.
func (c *Client) Dying() {
	if c != nil {
		m := message{kind: kindDying}
		_ = unix.Sendto(c.fd, m.append(nil), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil) // it sees the end, too
	}
}

// Live ties the guardian's watch to the calling thread, which must be locked:
// it hears of the thread's end before the kernel has undone the process. It is
// called before Ready.
func (c *Client) Live() {
	if c != nil {
		c.lifeline.hold()
	}
}

// Leave undoes Live: the thread may end.
func (c *Client) Leave() {
	if c != nil {
		c.lifeline.release()
	}
}

// Next returns the boot time (CLOCK_BOOTTIME, in ns) at which Beat wants to be
// called next; 0: no need.
func (c *Client) Next() int64 {
	if c == nil || c.watchdog == 0 {
		return 0
	}
	return c.next
}

// Beat gives a sign of life, and sends what could not be sent before.
func (c *Client) Beat(now int64) {
	if c == nil {
		return
	}
	c.lifeline.beat(now)
	if now < c.next {
		return
	}
	c.next = now + int64(limit(c.watchdog, len(c.wills) > 0)/looks)
	c.flush()
}

// send sends a message, now or later.
func (c *Client) send(key string, m *message, fd int) {
	if c == nil {
		return
	}
	p := pending{key, m.append(nil), fd}
	for i := range c.pending {
		if c.pending[i].key == key {
			c.pending[i].drop()
			c.pending[i] = p
			c.flush()
			return
		}
	}
	c.pending = append(c.pending, p)
	c.flush()
}

// flush sends what waits, as far as the guardian takes it.
func (c *Client) flush() {
	for len(c.pending) > 0 {
		p := &c.pending[0]
		var rights []byte
		if p.fd >= 0 {
			rights = unix.UnixRights(p.fd)
		}
		err := unix.Sendmsg(c.fd, p.data, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ETOOMANYREFS):
			return
		}
		p.drop() // sent; or refused for ever, as where the guardian has ended
		c.pending = c.pending[1:]
	}
	c.pending = nil
}

func (p *pending) drop() {
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}
