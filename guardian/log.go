package guardian

import (
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newLogger returns a logger whose lines look like the router process' own.
func newLogger(w io.Writer, h Hello) *slog.Logger {
	options := &slog.HandlerOptions{Level: h.Level}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if h.JSON {
		handler = slog.NewJSONHandler(w, options)
	}
	log := slog.New(handler).With("process", "guardian")
	if h.Router != "" {
		log = log.With("router", h.Router)
	}
	return log
}

// linesWaiting bounds the log lines that wait to be written.
const linesWaiting = 256

// tape writes log lines from a goroutine of its own: a log that nobody reads
// must not hold up the guardian. What finds no room is lost.
type tape struct {
	lines chan []byte
	done  chan struct{}
}

func newTape(w io.Writer) *tape {
	t := &tape{lines: make(chan []byte, linesWaiting), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		for line := range t.lines {
			_, _ = w.Write(line) // there is nobody else to tell
		}
	}()
	return t
}

// Write implements io.Writer; it takes one line and never blocks.
func (t *tape) Write(line []byte) (int, error) {
	select {
	case t.lines <- append([]byte(nil), line...):
	default:
	}
	return len(line), nil
}

// close writes what waits, for a second at most.
func (t *tape) close() {
	close(t.lines)
	select {
	case <-t.done:
	case <-time.After(time.Second):
	}
}

// manager is the service manager (sd_notify(3)), where there is one. The
// guardian is the process that it knows, so the guardian tells it everything.
type manager struct {
	conn net.Conn
}

// notifySocket is the environment variable that names the manager's socket.
const notifySocket = "NOTIFY_SOCKET"

func newManager() *manager {
	path := os.Getenv(notifySocket)
	if path == "" {
		return &manager{}
	}
	conn, err := net.Dial("unixgram", path) // a first "@" means the abstract name space here, too
	if err != nil {
		return &manager{}
	}
	return &manager{conn}
}

// tell sends a state; it never blocks for long.
func (m *manager) tell(state string) {
	if m.conn == nil {
		return
	}
	_ = m.conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	_, _ = m.conn.Write([]byte(state)) // as sd_notify: nothing depends on it
}

// monotonic is the time that a manager compares a reload with (sd_notify(3)).
func monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail
	return time.Duration(now.Nano())
}
