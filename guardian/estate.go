package guardian

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// What one router process may leave behind at most.
const (
	willsMax = 4096
	portsMax = 1024
	bytesMax = 32 << 20
)

// estate is what the router process leaves behind: its wills, and the
// descriptors to send them by.
type estate struct {
	wills map[string]Will
	loans map[uint16]Loan
	bytes int // of all frames
}

func newEstate() *estate {
	return &estate{wills: map[string]Will{}, loans: map[uint16]Loan{}}
}

// set keeps a will, whose frames are copied; false: there are too many.
func (e *estate) set(w Will) bool {
	old, known := e.wills[w.Name]
	delete(e.wills, w.Name)
	e.bytes -= size(old.Frames)
	if len(w.Frames) == 0 {
		return true
	}
	if (!known && len(e.wills) >= willsMax) || e.bytes+size(w.Frames) > bytesMax {
		return false
	}
	frames := make([][]byte, len(w.Frames))
	for i, f := range w.Frames {
		frames[i] = slices.Clone(f)
	}
	w.Frames = frames
	e.bytes += size(frames)
	e.wills[w.Name] = w
	return true
}

func size(frames [][]byte) (n int) {
	for _, f := range frames {
		n += len(f)
	}
	return n
}

// lend keeps a descriptor, and closes the one that it replaces; false: there
// are too many, and it is closed.
func (e *estate) lend(l Loan) bool {
	if old, known := e.loans[l.Port]; known {
		unix.Close(old.FD)
		delete(e.loans, l.Port)
	}
	if l.FD < 0 {
		return true
	}
	if len(e.loans) >= portsMax {
		unix.Close(l.FD)
		return false
	}
	e.loans[l.Port] = l
	return true
}

// execute sends every will that is not older than late, once, and returns the
// number of frames that left and that did not.
func (e *estate) execute(late time.Duration) (sent, failed int) {
	for _, w := range e.wills {
		loan, ok := e.loans[w.Port]
		if !ok || late > w.Lifetime {
			failed += len(w.Frames)
			continue
		}
		for _, f := range w.Frames {
			if loan.write(f) {
				sent++
			} else {
				failed++
			}
		}
	}
	clear(e.wills)
	e.bytes = 0
	return sent, failed
}

// header is what frames begin with where their port wants a header: zeros are
// a virtio-net header that asks for nothing.
var header [256]byte

// write sends one frame. A full queue is tried again, for a moment.
func (l Loan) write(frame []byte) bool {
	buffers := [][]byte{header[:l.Header], frame}
	if l.Header == 0 {
		buffers = buffers[1:]
	}
	for range 100 {
		_, err := unix.Writev(l.FD, buffers)
		switch err {
		case nil:
			return true
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			unix.Nanosleep(&unix.Timespec{Nsec: 20_000}, nil)
		default:
			return false
		}
	}
	return false
}

// close lets everything go.
func (e *estate) close() {
	for _, l := range e.loans {
		unix.Close(l.FD)
	}
	clear(e.loans)
	clear(e.wills)
}
