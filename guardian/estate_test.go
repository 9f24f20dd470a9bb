package guardian

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// device is a pair of sockets that keeps frames apart as a device does.
func device(t *testing.T) (lent, wire int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[1]) })
	return pair[0], pair[1]
}

func received(fd int) (frames []string) {
	b := make([]byte, 100)
	for {
		n, err := unix.Read(fd, b)
		if err != nil || n == 0 {
			return frames
		}
		frames = append(frames, string(b[:n]))
	}
}

func TestEstateSendsEachWillOnce(t *testing.T) {
	e := newEstate()
	lent, wire := device(t)
	tap, tapWire := device(t)
	e.lend(Loan{Port: 1, FD: lent})
	e.lend(Loan{Port: 2, FD: tap, Header: 12})
	mine := bytes.Repeat([]byte("a"), 14)
	e.set(Will{Name: "a", Port: 1, Lifetime: time.Second, Frames: [][]byte{mine}})
	mine[0] = 'z' // the guardian has a copy
	e.set(Will{Name: "b", Port: 2, Lifetime: time.Second, Frames: [][]byte{bytes.Repeat([]byte("b"), 14)}})
	e.set(Will{Name: "c", Port: 1, Lifetime: time.Second, Frames: [][]byte{bytes.Repeat([]byte("c"), 14)}})
	e.set(Will{Name: "c"}) // withdrawn
	e.set(Will{Name: "d", Port: 3, Lifetime: time.Second, Frames: [][]byte{bytes.Repeat([]byte("d"), 14)}})
	if sent, failed := e.execute(0); sent != 2 || failed != 1 {
		t.Errorf("%d sent, %d not; want 2 and 1, for whose port nothing was lent", sent, failed)
	}
	if got := received(wire); len(got) != 1 || got[0] != "aaaaaaaaaaaaaa" {
		t.Errorf("port 1: %q", got)
	}
	if got := received(tapWire); len(got) != 1 || got[0] != string(make([]byte, 12))+"bbbbbbbbbbbbbb" {
		t.Errorf("port 2: %q, want it behind 12 zero bytes", got)
	}
	if sent, failed := e.execute(0); sent+failed != 0 {
		t.Error("the wills were sent twice")
	}
	e.close()
	if unix.Close(lent) == nil {
		t.Error("close has kept a descriptor")
	}
}

func TestEstateSendsNoWillThatIsTooOld(t *testing.T) {
	e := newEstate()
	lent, wire := device(t)
	defer e.close()
	e.lend(Loan{Port: 1, FD: lent})
	e.set(Will{Name: "a", Port: 1, Lifetime: time.Second, Frames: [][]byte{frame}})
	if sent, failed := e.execute(1100 * ms); sent != 0 || failed != 1 || received(wire) != nil {
		t.Errorf("%d sent, %d not: others have taken over long ago", sent, failed)
	}
}

func TestEstateReplacesDescriptors(t *testing.T) {
	e := newEstate()
	first, firstWire := device(t)
	second, wire := device(t)
	defer e.close()
	e.set(Will{Name: "a", Port: 1, Frames: [][]byte{frame}})
	e.lend(Loan{Port: 1, FD: first})
	e.lend(Loan{Port: 1, FD: second})
	if n, err := unix.Read(firstWire, make([]byte, 1)); n != 0 || err != nil {
		t.Error("the descriptor that was replaced is still open")
	}
	if sent, _ := e.execute(0); sent != 1 || len(received(wire)) != 1 {
		t.Error("not sent on the new device")
	}
	e.lend(Loan{Port: 1, FD: -1})
	if n, err := unix.Read(wire, make([]byte, 1)); n != 0 || err != nil {
		t.Error("the descriptor that was taken back is still open")
	}
}

func TestEstateIsBounded(t *testing.T) {
	e := newEstate()
	for i := range willsMax {
		if !e.set(Will{Name: fmt.Sprint(i), Frames: [][]byte{frame}}) {
			t.Fatalf("will %d is refused", i)
		}
	}
	if e.set(Will{Name: "one more", Frames: [][]byte{frame}}) {
		t.Error("a will too many is taken")
	}
	if !e.set(Will{Name: "7", Frames: [][]byte{frame, frame}}) {
		t.Error("a will that replaces another is refused")
	}
	if e.set(Will{Name: "8", Frames: slicesOf(frameMax, bytesMax/frameMax+1)}) {
		t.Error("more bytes than there is room for are taken")
	}
	for i := range willsMax {
		e.set(Will{Name: fmt.Sprint(i)})
	}
	if e.bytes != 0 || len(e.wills) != 0 {
		t.Errorf("all withdrawn: %d bytes, %d wills", e.bytes, len(e.wills))
	}
}
