package nstest

import (
	"bytes"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// testFrame is an Ethernet frame of an experimental EtherType (IEEE 802a).
func testFrame(text string) []byte {
	f := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}
	return append(f, text...)
}

func TestAFrameSentAtOneEndOfAVethComesInAtTheOther(t *testing.T) {
	a, b := New(t), New(t)
	Veth(t, a, "left", b, "right")
	left, right := a.Wire(t, "left"), b.Wire(t, "right")
	left.Send(testFrame("first"), testFrame("second"))
	want := testFrame("second")
	if right.Receive(time.Second, func(f []byte) bool { return bytes.Equal(f, want) }) == nil {
		t.Fatal("frame lost")
	}
	if f := left.Receive(20*time.Millisecond, func(f []byte) bool { return f[12] == 0x88 }); f != nil {
		t.Fatalf("a wire saw its own frame: %x", f)
	}
}

func TestNamespacesAreApart(t *testing.T) {
	a, b := New(t), New(t)
	a.Bridge(t, "br0")
	if !a.Has("br0") || b.Has("br0") {
		t.Fatal("a device is visible in another namespace, or not in its own")
	}
	Veth(t, a, "v0", b, "v1")
	a.Enslave(t, "v0", "br0")
	b.Addr(t, "v1", "192.0.2.1/24", "2001:db8::1/64")
	b.Route(t, "198.51.100.0/24", "192.0.2.2")
	b.MTU(t, "v1", 1400)
	if got := b.Link(t, "v1").Attrs().MTU; got != 1400 {
		t.Fatalf("MTU %d, want 1400", got)
	}
	b.Delete(t, "v1")
	if a.Has("v0") {
		t.Fatal("the other end of a deleted veth is still there")
	}
}
