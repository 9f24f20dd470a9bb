package pcap

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// fakePort receives what is put into it and keeps what it transmits.
type fakePort struct {
	port.Port
	in     []packet.Frame
	out    [][]byte
	closed bool
}

func (f *fakePort) Status() port.Status                       { return port.Status{Device: "lan0"} }
func (f *fakePort) Receivers() []port.Receiver                { return []port.Receiver{&fakeQueue{p: f}} }
func (f *fakePort) NewTransmitter() (port.Transmitter, error) { return &fakePath{f}, nil }
func (f *fakePort) Close() error                              { f.closed = true; return nil }

type fakeQueue struct{ p *fakePort }

func (q *fakeQueue) Receive(batch []packet.Frame) (int, error) {
	n := copy(batch, q.p.in)
	q.p.in = q.p.in[n:]
	return n, nil
}
func (q *fakeQueue) FD() int           { return 7 }
func (q *fakeQueue) Stats() port.Stats { return port.Stats{Frames: 5} }

type fakePath struct{ p *fakePort }

func (f *fakePath) Transmit(frames []*packet.Frame) int {
	for _, frame := range frames {
		f.p.out = append(f.p.out, frame.Data)
	}
	return len(frames) - 1
}
func (f *fakePath) Stats() port.Stats { return port.Stats{} }
func (f *fakePath) Close() error      { return nil }

var start = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)

func clock() time.Time { return start }

// echo is an ICMP echo request in an Ethernet frame, with right checksums.
func echo(t testing.TB) []byte {
	b, err := hex.DecodeString(
		"00005e000105" + "020000000002" + "0800" + // to a virtual MAC, from a host, IPv4
			"45000021" + "00000000" + "4001f6b5" + "c000020a" + "c0000201" + // 192.0.2.10 > 192.0.2.1
			"08004eeb" + "00010001" + "68656c6c6f") // echo request 1, 1, "hello"
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wrap(t testing.TB, p port.Port, w *bytes.Buffer) (port.Port, port.Receiver, port.Transmitter) {
	t.Helper()
	c, err := Wrap(p, w, clock)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := c.NewTransmitter()
	if err != nil {
		t.Fatal(err)
	}
	return c, c.Receivers()[0], tx
}

func TestTheFileIsPcapngByteForByte(t *testing.T) {
	var file bytes.Buffer
	inner := &fakePort{in: []packet.Frame{{Data: []byte("abcdefghijklmno")}}}
	c, rx, _ := wrap(t, inner, &file)
	if n, err := rx.Receive(make([]packet.Frame, 4)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := c.Close(); err != nil || !inner.closed {
		t.Fatal(err, inner.closed)
	}
	want := []string{
		"0a0d0d0a" + "1c000000" + "4d3c2b1a" + "0100" + "0000" + "ffffffffffffffff" + "1c000000", // section header
		"01000000" + "28000000" + "0100" + "0000" + "00000000" + // interface: Ethernet
			"0200" + "0400" + "6c616e30" + // if_name lan0
			"0900" + "0100" + "09000000" + // if_tsresol 10^-9
			"00000000" + "28000000",
		"06000000" + "3c000000" + "00000000" + // packet on interface 0
			"f2ca8618" + "15fff123" + // 1767323045.123456789 s
			"0f000000" + "0f000000" +
			"6162636465666768696a6b6c6d6e6f" + "00" +
			"0200" + "0400" + "01000000" + // inbound
			"00000000" + "3c000000",
		"05000000" + "34000000" + "00000000" + "f2ca8618" + "15fff123" + // statistics
			"0400" + "0800" + "0100000000000000" + // one frame seen
			"0500" + "0800" + "0000000000000000" + // none lost
			"00000000" + "34000000",
	}
	if got := hex.EncodeToString(file.Bytes()); got != strings.Join(want, "") {
		t.Errorf("got  %s\nwant %s", got, strings.Join(want, ""))
	}
}

func TestTsharkReadsBothDirectionsAndTheTime(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark")
	}
	var file bytes.Buffer
	frame := echo(t)
	large := append(append([]byte(nil), frame[:14]...), make([]byte, 64<<10)...)
	inner := &fakePort{in: []packet.Frame{{Data: frame}}}
	c, rx, tx := wrap(t, inner, &file)
	rx.Receive(make([]packet.Frame, 4))
	tx.Transmit([]*packet.Frame{{Data: frame}, {Data: large}})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "x.pcapng")
	if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tshark, "-n", "-r", name, "-T", "fields", "-E", "separator=/s",
		"-e", "frame.len", "-e", "frame.packet_flags_direction", "-e", "frame.interface_name",
		"-e", "frame.time_epoch").Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, err.(*exec.ExitError).Stderr)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d frames in the file, want 3:\n%s", len(lines), out)
	}
	for i, want := range []string{"47 0x00000001 lan0 ", "47 0x00000002 lan0 ", "65550 0x00000002 lan0 "} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("frame %d: %q, want %q...", i, lines[i], want)
		}
	}
	if !strings.Contains(lines[0], "45.123456789") {
		t.Errorf("time: %q", lines[0])
	}
}

func TestFramesPassUnchanged(t *testing.T) {
	var file bytes.Buffer
	vnet := packet.VNet{Flags: packet.VNetNeedsCsum, CsumStart: 34, CsumOffset: 16}
	inner := &fakePort{in: []packet.Frame{{Data: echo(t), VNet: vnet}, {Data: echo(t)}}}
	c, rx, tx := wrap(t, inner, &file)
	batch := make([]packet.Frame, 4)
	n, err := rx.Receive(batch)
	if n != 2 || err != nil || !bytes.Equal(batch[0].Data, echo(t)) || batch[0].VNet != vnet {
		t.Fatalf("%d frames, error %v: %+v", n, err, batch[:n])
	}
	if rx.FD() != 7 || rx.Stats().Frames != 5 {
		t.Error("descriptor or counts are not those of the port")
	}
	if got := tx.Transmit([]*packet.Frame{&batch[0], &batch[1]}); got != 1 || len(inner.out) != 2 {
		t.Errorf("transmit returned %d, %d frames arrived", got, len(inner.out))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

var errDisk = errors.New("disk full")

// fails takes some writes and then fails.
type fails struct{ left int }

func (f *fails) Write(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errDisk
	}
	return len(b), nil
}

func TestAFailingWriterNeverHarmsForwarding(t *testing.T) {
	if _, err := Wrap(&fakePort{}, &fails{}, clock); !errors.Is(err, errDisk) {
		t.Fatalf("head not written: error %v", err)
	}
	inner := &fakePort{}
	c, err := Wrap(inner, &fails{left: 1}, clock)
	if err != nil {
		t.Fatal(err)
	}
	rx, batch := c.Receivers()[0], make([]packet.Frame, 4)
	for range 10000 {
		inner.in = append(inner.in[:0], packet.Frame{Data: echo(t)})
		if n, err := rx.Receive(batch); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := c.Close(); !errors.Is(err, errDisk) || !inner.closed {
		t.Fatalf("error %v, port closed: %v", err, inner.closed)
	}
}

// blocks takes the head and then blocks until it is released.
type blocks struct {
	bytes.Buffer
	release chan struct{}
}

func (b *blocks) Write(data []byte) (int, error) {
	if b.Len() > 0 {
		<-b.release
	}
	return b.Buffer.Write(data)
}

func TestASlowWriterCostsRecordsAndNeverFrames(t *testing.T) {
	w := &blocks{release: make(chan struct{})}
	inner := &fakePort{}
	c, err := Wrap(inner, w, clock)
	if err != nil {
		t.Fatal(err)
	}
	rx, batch := c.Receivers()[0], make([]packet.Frame, 64)
	const frames = 4 * pendingMax / 65000
	for range frames {
		inner.in = append(inner.in[:0], packet.Frame{Data: make([]byte, 65000)})
		if n, _ := rx.Receive(batch); n != 1 {
			t.Fatal("frame lost")
		}
	}
	close(w.release)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if size := w.Len(); size > 3*pendingMax || size < pendingMax/2 {
		t.Errorf("%d bytes recorded", size)
	}
	r := c.(*capture).recorder
	if r.seen != frames || r.lost == 0 || r.lost == frames {
		t.Errorf("%d seen, %d lost", r.seen, r.lost)
	}
}

func TestCloseDoesNotHangOnAWriterThatDoesNotReturn(t *testing.T) {
	w := &blocks{release: make(chan struct{})}
	defer close(w.release)
	c, err := Wrap(&fakePort{}, w, clock)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); !errors.Is(err, errStuck) {
		t.Fatalf("error %v", err)
	}
}

func TestRecordingDoesNotAllocate(t *testing.T) {
	inner := &fakePort{}
	c, err := Wrap(inner, &fails{left: 1 << 40}, clock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rx, batch := c.Receivers()[0], make([]packet.Frame, 64)
	frames := []packet.Frame{{Data: echo(t)}}
	receive := func() { inner.in = frames; rx.Receive(batch) }
	for range 100000 { // let the buffers grow
		receive()
	}
	if n := testing.AllocsPerRun(1000, receive); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
