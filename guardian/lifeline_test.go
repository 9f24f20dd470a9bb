package guardian

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// held starts a thread that holds the lifeline until it is told to end.
func held(l *lifeline, last func()) (end chan<- struct{}) {
	ready, told := make(chan struct{}), make(chan struct{})
	var hold func()
	hold = func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// Go never ends the first thread of a process: keep it, take another.
			go hold()
			<-told
			runtime.UnlockOSThread()
			return
		}
		l.hold()
		close(ready)
		<-told
		last()
	}
	go hold()
	<-ready
	return told
}

func TestLifeline(t *testing.T) {
	for _, tt := range []struct {
		name string
		last func(l *lifeline)
		died bool
	}{
		{"the thread dies", func(*lifeline) {}, true},
		{"the thread ends in order", (*lifeline).release, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, fd, err := newLifeline()
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			other, err := openLifeline(fd) // as the other process sees it
			if err != nil {
				t.Fatal(err)
			}
			defer other.close()
			end := held(other, func() { tt.last(other) })
			result := make(chan bool, 1)
			go func() { result <- l.wait() }()
			select {
			case <-result:
				t.Fatal("it does not wait")
			case <-time.After(50 * time.Millisecond):
			}
			close(end)
			if tt.died {
				select {
				case died := <-result:
					if !died {
						t.Error("not noticed")
					}
				case <-time.After(soon):
					t.Fatal("not noticed within 10 s")
				}
				return
			}
			time.Sleep(50 * time.Millisecond)
			l.cut()
			if <-result {
				t.Error("an orderly end is taken for a death")
			}
		})
	}
}
