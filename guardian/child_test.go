package guardian

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Variables that make this test binary a guardian, and its child a router
// process of a kind; both tell the test what happens by datagrams to a socket.
const (
	kindVariable   = "VROUTER_TEST_CHILD"
	socketVariable = "VROUTER_TEST_SOCKET"
)

func TestMain(m *testing.M) {
	what := os.Getenv(kindVariable)
	if what == "" {
		os.Exit(m.Run())
	}
	if TakeRole() == RoleRouter {
		os.Exit(child(what))
	}
	status, err := Run(Options{
		Path: "/proc/self/exe", Args: []string{"router"}, Env: os.Environ(), Stderr: os.Stderr,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

// will is what the child leaves behind: a frame that tells whose it is.
func will(name string) Will {
	return Will{Name: name, Port: 1, Lifetime: time.Second, Frames: [][]byte{[]byte("will of " + name + " ......")}}
}

// child is a router process without a router; what says how it behaves.
func child(what string) int {
	if strings.HasPrefix(what, "exits with ") {
		var status int
		_, _ = fmt.Sscanf(what, "exits with %d", &status)
		fmt.Fprintln(os.Stderr, "why it cannot start")
		return status
	}
	c, err := Inherit()
	if err != nil {
		panic(err)
	}
	say, fd := sayTo(os.Getenv(socketVariable))
	asked := make(chan os.Signal, 4)
	signal.Notify(asked, unix.SIGTERM, unix.SIGHUP)
	runtime.LockOSThread()
	c.Live()
	defer c.Leave()
	c.Hello(Hello{Watchdog: 200 * time.Millisecond, JSON: what == "logs json"})
	c.Lend(Loan{Port: 1, FD: fd})
	c.Will(will("a"))
	c.Will(will("b"))
	c.Will(Will{Name: "b"})
	say("born %d", os.Getpid())
	if what == "is never ready" {
		select {}
	}
	c.Ready()
	switch what {
	case "dies soon":
		return 7
	case "sends garbage":
		garbage(c)
	case "panics":
		defer c.Dying()
		time.AfterFunc(600*time.Millisecond, func() { os.Exit(2) }) // a slow reader of the stack
		return waitForever()
	case "stops by itself":
		asked <- unix.SIGTERM
	}
	return serve(c, what, asked, say)
}

func waitForever() int { panic("on purpose") }

func sayTo(socket string) (say func(string, ...any), fd int) {
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		panic(err)
	}
	f, err := conn.(*net.UnixConn).File()
	if err != nil {
		panic(err)
	}
	fd, _ = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	return func(format string, args ...any) { _, _ = fmt.Fprintf(conn, format, args...) }, fd
}

// serve beats until it is told to stop, or has no guardian any more.
func serve(c *Client, what string, asked <-chan os.Signal, say func(string, ...any)) int {
	beat := time.NewTicker(5 * time.Millisecond)
	for {
		select {
		case <-beat.C:
			c.Beat(bootTime())
		case <-c.Gone():
			say("guardian gone")
			return 0
		case s := <-asked:
			say("told %v", s)
			if s == unix.SIGHUP || what == "does not stop" {
				continue
			}
			c.Stopping()
			c.Will(Will{Name: "a"})
			c.Ended(5 * time.Second)           // the race detector ends a second later
			time.Sleep(300 * time.Millisecond) // closing, without a beat
			return 0
		}
	}
}

// garbage sends what no router process would.
func garbage(c *Client) {
	r := rand.New(rand.NewPCG(1, 2))
	send := func(b []byte, fds ...int) {
		var rights []byte
		if len(fds) > 0 {
			rights = unix.UnixRights(fds...)
		}
		for unix.Sendmsg(c.fd, b, rights, nil, 0) == unix.EAGAIN {
			time.Sleep(time.Millisecond)
		}
	}
	send(nil)
	send(make([]byte, 100_000))
	send([]byte{version, byte(kindPort), 0, 9, 0, 1})       // says that a descriptor comes
	send([]byte{version, byte(kindPort), 0, 9, 0, 0}, 0)    // says that none comes
	send([]byte{version, byte(kindPort), 0, 9, 0, 1}, 0, 1) // two
	for range 1000 {
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if len(b) > 1 && r.IntN(2) == 0 {
			b[0] = version
			b[1] = byte(kindReady) // with bytes behind it
			b = append(b, 0)
		}
		send(b, 0, 1, 2)
	}
}
