package worker

import (
	"os"
	"testing"
	"time"

	"vrouter/dataplane/port"
)

// piped is a receiver whose descriptor a test makes readable.
type piped struct {
	port.Receiver
	fd int
}

func (p piped) FD() int { return p.fd }

func TestAWorkerIsBehindWhereFramesWaitUnread(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer in.Close()
	w, err := New(Config{Inputs: []Input{{Receiver: piped{fd: int(out.Fd())}}}})
	if err != nil {
		t.Fatal(err)
	}
	if w.Behind(0) {
		t.Error("behind with nothing to read")
	}
	if _, err := in.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if !w.Behind(0) {
		t.Error("not behind with something to read")
	}
	w.load.served.Store(BootTime())
	if w.Behind(int64(time.Minute)) {
		t.Error("behind though it has just read")
	}
}
