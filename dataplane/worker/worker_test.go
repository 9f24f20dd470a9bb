package worker

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"vrouter/dataplane"
	"vrouter/dataplane/port"
	"vrouter/ndp"
	"vrouter/packet"
)

// await calls done until it is true.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

func TestForwards(t *testing.T) {
	w := newWorld()
	worker := w.run(t)
	w.ports[lan].Inject(0, datagram("198.51.100.7", 64, 1, 20))
	var sent []packet.Frame
	await(t, "a packet forwarded", func() bool { sent = append(sent, w.ports[wan].Sent()...); return len(sent) > 0 })
	eth := packet.Ethernet(sent[0].Data)
	p, ok := packet.ParseIPv4(eth.Payload())
	if eth.Dst() != macISP || eth.Src() != macWAN || !ok || p.TTL() != 63 || !p.HeaderOK() {
		t.Errorf("forwarded as %x", sent[0].Data)
	}
	await(t, "the load", func() bool { l := worker.Load(); return l.Batches == 1 && l.Frames == 1 && l.Forwarded == 1 })
	if s := worker.Output(wan).Stats(); s.Frames != 1 {
		t.Errorf("transmitter counted %+v", s)
	}
}

func TestOrderWithinAFlowIsKept(t *testing.T) {
	w := newWorld()
	worker := w.run(t)
	const total = 20_000
	next := 0
	collect := func() {
		for _, f := range w.ports[wan].Sent() {
			if packet.IPv4(f.Data[packet.EthernetLen:]).FragmentOffset() > 0 {
				continue
			}
			if got := number(f); got != next%65536 {
				t.Fatalf("packet %d came where %d was due; dropped: %+v", got, next, worker.Output(wan).Stats())
			}
			next++
		}
	}
	for n := range total {
		size := 20
		if n%7 == 0 {
			size = 1200 // larger than wan's MTU: goes the slow way, in fragments
		}
		await(t, "room", func() bool { collect(); return w.ports[lan].Inject(0, datagram("198.51.100.7", 64, n, size)) == 1 })
	}
	await(t, "all packets", func() bool { collect(); return next == total })
}

// segment returns a TCP segment of a stream to dst, with its n-th piece of payload.
func segment(dst string, n, size int) packet.Frame {
	f := datagram(dst, 64, n, 12+size)
	b := f.Data[packet.EthernetLen:]
	b[9] = packet.ProtoTCP
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], packet.Checksum(packet.Sum(0, b[:packet.IPv4Len])))
	tcp := b[packet.IPv4Len:]
	binary.BigEndian.PutUint32(tcp[4:], uint32(n*size))
	tcp[12], tcp[13] = 5<<4, 0x10
	pseudo := packet.PseudoHeader(ip("192.0.2.10"), ip(dst), packet.ProtoTCP, len(tcp))
	binary.BigEndian.PutUint16(tcp[16:], packet.Checksum(packet.Sum(pseudo, tcp)))
	return f
}

func TestSegmentsInARowLeaveAsOneFrameWhereThePortTakesIt(t *testing.T) {
	for _, offload := range []packet.Offload{0, packet.OffloadCsum | packet.OffloadTSO4} {
		w := newWorld()
		s := *w.snapshot.Load()
		s.Ports = slices.Clone(s.Ports)
		s.Ports[wan].Offload = offload
		w.snapshot.Store(&s)
		var frames []packet.Frame
		for n := range 5 {
			frames = append(frames, segment("198.51.100.7", n, 100), datagram("198.51.100.7", 64, n, 20))
		}
		worker := w.worker(t)
		worker.serve(lan, frames)
		sent := w.ports[wan].Sent()
		want, joined := 10, uint64(0)
		if offload != 0 {
			want, joined = 6, 1
		}
		if len(sent) != want || worker.Counters().Coalesced != joined {
			t.Fatalf("offloads %x: %d frames sent, %d joined", offload, len(sent), worker.Counters().Coalesced)
		}
		if first := sent[0]; offload != 0 && (first.VNet.GSOSize != 100 || len(first.Data) != packet.EthernetLen+40+500) {
			t.Errorf("the first is of %d bytes, virtio-net header %+v", len(first.Data), first.VNet)
		}
	}
}

func TestPuntsByClass(t *testing.T) {
	w := newWorld()
	worker := w.worker(t)
	solicit := packet.Frame{Data: ndp.Solicit(macHost, ip("fe80::10"), ip("fe80::1"))}
	frames := []packet.Frame{
		arpRequest(), advertisement(), solicit,
		datagram("192.0.2.2", 64, 1, 20),  // our own address
		datagram("192.0.2.77", 64, 2, 20), // a neighbour that is not known
	}
	want := slices.Clone(frames[4].Data)
	worker.serve(lan, frames)
	for class, n := range map[dataplane.Class]int{
		dataplane.ClassARP: 1, dataplane.ClassVRRP: 1, dataplane.ClassND: 1,
		dataplane.ClassLocal: 1, dataplane.ClassResolve: 1, dataplane.ClassBFD: 0, dataplane.ClassTransit: 0,
	} {
		if got := w.queues[class].Len(); got != n {
			t.Errorf("class %v: %d frames, want %d", class, got, n)
		}
	}
	w.queues[dataplane.ClassResolve].Drain(1, func(p *Punted) {
		if p.In != lan || !bytes.Equal(p.Data, want) {
			t.Errorf("punted from port %d, or not as it came in", p.In)
		}
	})
}

func TestExceptionsAreEmitted(t *testing.T) {
	w := newWorld()
	worker := w.worker(t)
	worker.serve(lan, []packet.Frame{datagram("198.51.100.7", 1, 1, 20)})
	sent := w.ports[lan].Sent()
	if len(sent) != 1 || sent[0].Data[packet.EthernetLen+packet.IPv4Len] != 11 || packet.Ethernet(sent[0].Data).Dst() != macHost {
		t.Fatalf("TTL 1 was answered by %d frames: %v", len(sent), sent)
	}
	// The receiver of the error is not resolved: it waits in Pending.
	f := datagram("198.51.100.7", 1, 1, 20)
	copy(f.Data[packet.EthernetLen+12:], []byte{192, 0, 2, 99})
	h := packet.IPv4Header{TTL: 1, Protocol: 17, Src: ip("192.0.2.99"), Dst: ip("198.51.100.7")}
	h.Put(f.Data[packet.EthernetLen:], 28)
	worker.serve(lan, []packet.Frame{f})
	if w.pending.Len() != 1 {
		t.Errorf("%d errors wait for their receiver", w.pending.Len())
	}
	w.pending.Drain(1, func(p *Punted) {
		if p.In != lan {
			t.Errorf("the error leaves by port %d", p.In)
		}
	})
	worker.serve(lan, []packet.Frame{datagram("198.51.100.7", 64, 1, 1400)})
	if n := len(w.ports[wan].Sent()); n != 2 {
		t.Errorf("%d fragments, want 2", n)
	}
}

// TestManyFragmentsOfOneBatch: a whole batch of packets that all become several
// frames is more than one transmit batch.
func TestManyFragmentsOfOneBatch(t *testing.T) {
	w := newWorld()
	worker := w.worker(t)
	var batch []packet.Frame
	for n := range port.BatchMax {
		batch = append(batch, datagram("198.51.100.7", 64, n, 1400))
	}
	worker.serve(lan, batch)
	if n := len(w.ports[wan].Sent()); n != 2*port.BatchMax {
		t.Errorf("%d fragments, want %d", n, 2*port.BatchMax)
	}
}

func TestStopUnderFlood(t *testing.T) {
	w := newWorld()
	worker := w.worker(t)
	go worker.Run()
	var over atomic.Bool
	defer over.Store(true)
	go func() {
		for n := 0; !over.Load(); n++ {
			w.ports[lan].Inject(0, datagram("198.51.100.7", 64, n, 20), arpRequest())
		}
	}()
	await(t, "some work", func() bool { return worker.Load().Frames > 1000 })
	ended := make(chan struct{})
	go func() { worker.Stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("Stop has not ended under a flood")
	}
	frames := worker.Load().Frames
	time.Sleep(10 * time.Millisecond)
	if worker.Load().Frames != frames {
		t.Error("it worked on after Stop")
	}
}

// TestNoWakeUpIsLost injects single frames into an idle worker: each must be
// served though nothing else comes.
func TestNoWakeUpIsLost(t *testing.T) {
	w := newWorld()
	worker := w.run(t)
	for n := range uint64(1000) {
		w.ports[n%2].Inject(0, arpRequest())
		if n%3 == 0 {
			runtime.Gosched()
		}
		await(t, "one frame served", func() bool { return worker.Load().Frames == n+1 })
	}
}

func TestDeviceGoesAndComesBack(t *testing.T) {
	w := newWorld()
	worker := w.run(t)
	w.ports[wan].SetPresent(false)
	w.ports[lan].Inject(0, datagram("198.51.100.7", 64, 1, 20))
	await(t, "a frame for a port that is gone", func() bool { return worker.Load().Frames == 1 })
	if s := worker.Output(wan).Stats(); s.Drops[port.DropDown] != 1 {
		t.Errorf("counted %+v", s)
	}
	w.ports[wan].SetPresent(true)
	w.ports[lan].Inject(0, datagram("198.51.100.7", 64, 1, 20))
	await(t, "a frame after the port is back", func() bool { return len(w.ports[wan].Sent()) == 1 })
}

// TestIdleWorkerSleeps: without frames it uses no time.
func TestIdleWorkerSleeps(t *testing.T) {
	w := newWorld()
	worker := w.run(t)
	time.Sleep(20 * time.Millisecond)
	before := worker.Load().BusyNS
	time.Sleep(50 * time.Millisecond)
	if spent := worker.Load().BusyNS - before; spent > uint64(10*time.Millisecond) {
		t.Errorf("an idle worker spent %v of 50 ms", time.Duration(spent))
	}
}

func TestServeDoesNotAllocate(t *testing.T) {
	w := newWorld()
	worker := w.worker(t)
	kinds := []packet.Frame{
		datagram("198.51.100.7", 64, 1, 20), arpRequest(), advertisement(),
		datagram("192.0.2.2", 64, 1, 20), datagram("192.0.2.77", 64, 2, 20),
	}
	batch, templates := make([]packet.Frame, port.BatchMax), make([]packet.Frame, port.BatchMax)
	for i := range batch {
		templates[i] = kinds[i%len(kinds)]
		batch[i].Data = make([]byte, len(templates[i].Data))
	}
	// Full queues and rings: buffers are all there, and used again.
	serve := func() {
		for i := range batch {
			copy(batch[i].Data, templates[i].Data)
		}
		worker.serve(lan, batch)
	}
	for range 2000 {
		serve()
	}
	if n := testing.AllocsPerRun(100, serve); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

// TestReceiverWithoutSignal: a worker cannot wait for such a one, and says so.
func TestReceiverWithoutSignal(t *testing.T) {
	_, err := New(Config{Inputs: []Input{{Port: 3, Receiver: deaf{}}}})
	if err == nil {
		t.Fatal("no error")
	}
}

type deaf struct{ port.Receiver }

func (deaf) FD() int { return -1 }
