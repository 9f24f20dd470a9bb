package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// DefaultSocket is where a router listens unless its configuration says
// otherwise.
const DefaultSocket = "/run/vrouter/vrouter.sock"

const (
	socketMode    = 0o660
	maxSocketPath = 107 // sun_path of unix(7) has 108 bytes, the last one 0
	probeTimeout  = time.Second
	lockTimeout   = 2 * time.Second
)

// Listen opens the control socket at path with mode 0660, and creates its
// directory. A socket that a dead process left behind is replaced; one on
// which somebody listens is not, and neither is any other kind of file. Close
// removes the socket. Errors are *Error and name a remedy.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	if err == nil {
		return l, nil
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return nil, e
	case errors.Is(err, fs.ErrPermission):
		return nil, &Error{
			Message: fmt.Sprintf("control socket %s: permission denied", path),
			Remedy:  "start as root, or set control.socket to a path in a directory that this user may write",
		}
	}
	return nil, &Error{
		Message: fmt.Sprintf("control socket %s: %v", path, err),
		Remedy:  "set control.socket to a path where a socket can be made",
	}
}

func listen(path string) (net.Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	directory := filepath.Dir(path)
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(directory)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return restrict(c) }}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		l.Close()
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return &socketListener{Listener: l, path: path, info: info}, nil
}

func checkPath(path string) error {
	const remedy = "set control.socket to a path such as " + DefaultSocket
	switch {
	case path == "":
		return &Error{Message: "the control socket has no path", Remedy: remedy}
	case strings.HasPrefix(path, "@"):
		return &Error{
			Message: fmt.Sprintf("control socket %s: an abstract socket has no permissions", path),
			Remedy:  remedy,
		}
	case len(path) > maxSocketPath:
		return &Error{
			Message: fmt.Sprintf("control socket %s: the path has %d bytes; a unix socket's has at most %d",
				path, len(path), maxSocketPath),
			Remedy: remedy,
		}
	}
	return nil
}

// restrict sets the mode before bind(2) makes the file, which takes it from
// the socket: so nobody gets in between bind and chmod, whatever the umask.
func restrict(c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), socketMode) })
	return errors.Join(err, failed)
}

// lock takes the directory for the short while of replacing or removing a
// socket in it, so that two routers that start at once do not remove each
// other's. It needs no file that would be left behind.
func lock(directory string) (unlock func(), err error) {
	d, err := os.Open(directory)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockTimeout)
	for {
		err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { d.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			d.Close()
			return nil, fmt.Errorf("directory %s is locked: %w", directory, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// removeStale removes a socket on which nobody listens any more.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return &Error{
			Message: fmt.Sprintf("control socket %s: there is a file that is not a socket", path),
			Remedy:  "remove it, or set control.socket to another path",
		}
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its owner removed it just now
	}
	if err == nil {
		c.Close()
	} else if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return &Error{
		Message: fmt.Sprintf("control socket %s: another vrouter is running on it", path),
		Remedy:  "stop that one first, or give this one another control.socket",
	}
}

// socketListener removes its socket on Close, unless the path has become
// somebody else's.
type socketListener struct {
	net.Listener
	path string
	info fs.FileInfo
	once sync.Once
}

// Close stops listening and removes the socket.
func (l *socketListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		unlock, lockErr := lock(filepath.Dir(l.path))
		if lockErr == nil {
			defer unlock()
		}
		if now, statErr := os.Lstat(l.path); statErr == nil && os.SameFile(now, l.info) {
			err = os.Remove(l.path)
		} else {
			err = nil
		}
		err = errors.Join(err, l.Listener.Close())
	})
	return err
}

// LimitListener returns l with at most n connections at a time; the next waits in
// the kernel's queue.
func LimitListener(l net.Listener, n int) net.Listener {
	return &limitListener{Listener: l, tokens: make(chan struct{}, n)}
}

// limitListener accepts at most so many connections at a time; the next waits
// in the kernel's queue.
type limitListener struct {
	net.Listener
	tokens chan struct{}
}

// Accept waits for a connection, and for room to serve it.
func (l *limitListener) Accept() (net.Conn, error) {
	l.tokens <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.tokens
		return nil, err
	}
	return &limitConn{Conn: c, release: sync.OnceFunc(func() { <-l.tokens })}, nil
}

type limitConn struct {
	net.Conn
	release func()
}

// Close closes the connection and makes room for another.
func (c *limitConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
