package control

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"vrouter/router"
)

// abandon leaves a socket behind as a killed process does.
func abandon(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
}

func TestSocketIsMadeWithItsDirectoryAndMode(t *testing.T) {
	for _, umask := range []int{0o000, 0o022, 0o077} {
		path := filepath.Join(shortDir(t), "run", "vrouter", "s")
		old := syscall.Umask(umask)
		l, err := Listen(path)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != os.ModeSocket|0o660 {
			t.Errorf("umask %03o: %v, %v", umask, info.Mode(), err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Close: %v", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	abandon(t, path)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestSocketOfALivingRouterIsNotTaken(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	// It lives as well when it accepts nothing and its queue is full.
	for full := false; ; {
		_, err := Listen(path)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, "another vrouter is running") || e.Remedy == "" {
			t.Fatalf("second router (queue full: %v): %v", full, err)
		}
		if full {
			break
		}
		full = fillQueue(t, path)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the first router's socket: %v", err)
	}
}

// fillQueue connects until the kernel takes no more.
func fillQueue(t *testing.T, path string) bool {
	t.Helper()
	for range 10_000 {
		c, err := net.Dial("unix", path)
		if err != nil {
			if !errors.Is(err, syscall.EAGAIN) {
				t.Fatal(err)
			}
			return true
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue has no end")
	return false
}

func TestOfRoutersThatStartAtOnceOneGetsTheSocket(t *testing.T) {
	for range 20 {
		path := filepath.Join(shortDir(t), "s")
		abandon(t, path)
		var wait sync.WaitGroup
		winners := make(chan net.Listener, 8)
		for range 8 {
			wait.Go(func() {
				if l, err := Listen(path); err == nil {
					winners <- l
				}
			})
		}
		wait.Wait()
		if len(winners) != 1 {
			t.Fatalf("%d routers have the socket", len(winners))
		}
		if err := (<-winners).Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseLeavesTheSocketOfASuccessor(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	successor, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	} else {
		c.Close()
	}
}

func TestListenRefusalsNameARemedy(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, message := range map[string]string{
		"":          "no path",
		"@abstract": "no permissions",
		filepath.Join(dir, strings.Repeat("x", 108)): "at most 107",
		file:                     "not a socket",
		dir:                      "not a socket",
		filepath.Join(file, "s"): "not a directory",
	} {
		_, err := Listen(path)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, message) || !strings.Contains(e.Remedy, "control.socket") {
			t.Errorf("%q: %v", path, err)
		}
	}
	if content, err := os.ReadFile(file); string(content) != "precious" {
		t.Errorf("the file in the way: %q, %v", content, err)
	}
}

func TestLongestPathWorks(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, strings.Repeat("x", maxSocketPath-len(dir)-1))
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestClientSaysWhyThereIsNoAnswer(t *testing.T) {
	dir := shortDir(t)
	stale, foreign, torn := filepath.Join(dir, "stale"), filepath.Join(dir, "foreign"), filepath.Join(dir, "torn")
	abandon(t, stale)
	speak(t, foreign, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	speak(t, torn, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[")
	busy := filepath.Join(dir, "other")
	speak(t, busy, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found")
	for path, message := range map[string]string{
		filepath.Join(dir, "none"): "there is no socket " + filepath.Join(dir, "none"),
		stale:                      "nobody listens on " + stale,
		foreign:                    "does not speak vrouter's control API",
		busy:                       "does not speak vrouter's control API",
		torn:                       "broke off its answer",
	} {
		c := NewClient(path)
		_, err := c.Routes(t.Context())
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, message) || e.Remedy == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A stream whose last line is torn is not taken for a whole one.
	lines := filepath.Join(dir, "lines")
	speak(t, lines, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"sequence\":1}\n{\"sequence\":2")
	var last uint64
	err := NewClient(lines).FollowEvents(t.Context(), 0, func(e router.Event) error { last = e.Sequence; return nil })
	if err == nil || last != 1 {
		t.Errorf("event %d, %v", last, err)
	}
}

// speak answers one connection with a fixed text.
func speak(t *testing.T, path, answer string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, answer)
		}
	}()
}
