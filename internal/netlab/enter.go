// Package netlab builds small Linux networks out of network namespaces,
// without root: hosts, switches and cables of which nothing is left when the
// program ends.
//
// A program enters the lab by running itself once more inside new user,
// network and mount namespaces (Run, or Main for tests); there it may make as
// many hosts as it likes. Nothing that it does is visible outside.
package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// marker is the environment variable that tells a process that its parent has
// put it into new namespaces: its value is the parent's pid, so that processes
// started later do not mistake themselves for it, and then userMark where
// there is a new user namespace too.
const marker = "VROUTER_NETLAB_PARENT"

const userMark = "+user"

// messageFD is the descriptor on which the process inside hands its last
// error to the process outside.
const messageFD = 3

var inside, insideUser = takeMarker()

// takeMarker reports whether the process is inside, and in a user namespace.
func takeMarker() (inside, user bool) {
	value, found := os.LookupEnv(marker)
	os.Unsetenv(marker)
	value, user = strings.CutSuffix(value, userMark)
	if !found || value != strconv.Itoa(os.Getppid()) {
		return false, false
	}
	unix.CloseOnExec(messageFD)
	return true, user
}

// Inside reports whether this process runs in namespaces of its own, made by
// Run or Main.
func Inside() bool { return inside }

// SingleUser reports whether the process runs in a user namespace that knows
// no user but root: then a program cannot change to a user of its own.
func SingleUser() bool { return insideUser }

// Run executes main inside new namespaces. Outside it starts this program
// again with the same arguments, output going to stdout and stderr, and
// returns main's error by its text; the second process comes to the same call
// of Run, executes main, and ends there. Signals that ask the program to end
// are passed on; where the first process is killed, the second is told to
// terminate. Inside they end main's context, however often they come, so that
// main always gets to clean up; only SIGQUIT and SIGKILL do not wait for it.
//
// An error that wraps ErrForbidden means that the system does not allow it; its
// text names the remedy.
func Run(ctx context.Context, stdout, stderr io.Writer, main func(context.Context) error) error {
	if !Inside() {
		return reexec(ctx, stdout, stderr)
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	err := prepare()
	if err == nil {
		err = main(ctx)
	}
	if err == nil {
		os.Exit(0)
	}
	io.WriteString(os.NewFile(messageFD, "message"), err.Error())
	os.Exit(1)
	return nil
}

// unavailable is why Main could not enter namespaces.
var unavailable error

// Main runs a package's tests inside new namespaces, for TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }
//
// Where the system forbids that, the tests run outside, and Unavailable says
// why. So do fuzz targets, whose worker processes are started by their parent.
func Main(m interface{ Run() int }) int {
	if slices.ContainsFunc(os.Args, func(arg string) bool { return strings.HasPrefix(arg, "-test.fuzz=") }) {
		return m.Run()
	}
	if Inside() {
		unavailable = prepare()
		return m.Run()
	}
	err := reexec(context.Background(), os.Stdout, os.Stderr)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	case errors.Is(err, ErrForbidden):
		unavailable = err
		return m.Run()
	}
	fmt.Fprintln(os.Stderr, "netlab:", err)
	return 1
}

// Unavailable returns nil where the process is inside namespaces made by Main
// and may build networks, else why not, for a test to skip with.
func Unavailable() error {
	if unavailable == nil && !Inside() {
		return errors.New("not started by netlab.Main")
	}
	return unavailable
}

func reexec(ctx context.Context, stdout, stderr io.Writer) error {
	messages, messagesIn, err := os.Pipe()
	if err != nil {
		return err
	}
	defer messages.Close()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = stdout, stderr
	root, value := privileged(), strconv.Itoa(os.Getpid())
	if !root {
		value += userMark
	}
	cmd.Env = append(os.Environ(), marker+"="+value)
	cmd.ExtraFiles = []*os.File{messagesIn}
	cmd.SysProcAttr = namespaces(root)

	ends := []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, ends...)
	defer signal.Stop(signals)

	// The parent-death signal is tied to the thread that forked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	messagesIn.Close()
	if err != nil {
		return forbidden(err)
	}
	ended := make(chan struct{})
	go passOn(ctx, signals, cmd.Process, ended)
	text, _ := io.ReadAll(messages)
	err = cmd.Wait()
	close(ended)
	if message := bytes.TrimSpace(text); len(message) > 0 {
		if bytes.HasPrefix(message, []byte(ErrForbidden.Error())) {
			return fmt.Errorf("%w%s", ErrForbidden, message[len(ErrForbidden.Error()):])
		}
		return errors.New(string(message))
	}
	return err
}

// namespaces returns the attributes of the process inside. It gets a process
// group of its own, so that a Ctrl-C reaches it once, by way of its parent.
func namespaces(root bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  unix.SIGTERM,
		Setpgid:    true,
	}
	if !root {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// passOn hands signals on to the process inside until it has ended, and the
// end of ctx as SIGTERM.
func passOn(ctx context.Context, signals <-chan os.Signal, to *os.Process, ended <-chan struct{}) {
	done := ctx.Done()
	for {
		select {
		case s := <-signals:
			to.Signal(s)
		case <-done:
			to.Signal(unix.SIGTERM)
			done = nil
		case <-ended:
			return
		}
	}
}

// prepare makes the new namespaces usable, and thereby tests whether the
// system really gives their privileges.
func prepare() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return forbidden(err)
	}
	// What a program of the lab mounts must not spread to the machine. Some
	// containers forbid this, and all mounting with it.
	unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	return nil
}
