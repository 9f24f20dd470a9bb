package netlab

import (
	"errors"
	"os"
	"testing"
	"time"
)

// Whoever reads a wire ends when it is closed, also when it was closed between
// two reads.
func TestAClosedWireSaysThatItIsClosed(t *testing.T) {
	l := newLab(t)
	h, err := l.Host("a")
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Switch("br")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Connect(h, "eth0"); err != nil {
		t.Fatal(err)
	}
	w, err := h.OpenWire("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Read(make([]byte, 64), time.Now().Add(time.Second)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read of a closed wire: %v, want os.ErrClosed", err)
	}
}
