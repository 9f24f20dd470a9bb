package mem

import (
	"bytes"
	"testing"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

var (
	_ port.Port   = (*Port)(nil)
	_ port.Waiter = (*queue)(nil)
)

func frame(n byte, size int) packet.Frame {
	return packet.Frame{Data: bytes.Repeat([]byte{n}, size), VNet: packet.VNet{NumBuffers: uint16(n)}}
}

func transmit(t *testing.T, p *Port, frames ...packet.Frame) (int, port.Stats) {
	t.Helper()
	tx, err := p.NewTransmitter()
	if err != nil {
		t.Fatal(err)
	}
	var list []*packet.Frame
	for i := range frames {
		list = append(list, &frames[i])
	}
	return tx.Transmit(list), tx.Stats()
}

func TestReceiveCopies(t *testing.T) {
	p := New(Config{})
	f := frame(7, 60)
	p.Inject(0, f)
	f.Data[0] = 1 // the sender's memory is its own
	select {
	case <-p.queues[0].Ready():
	default:
		t.Error("no signal that a frame waits")
	}
	var batch [port.BatchMax]packet.Frame
	n, err := p.Receivers()[0].Receive(batch[:])
	if n != 1 || err != nil || batch[0].Data[0] != 7 || batch[0].VNet.NumBuffers != 7 {
		t.Fatalf("received %d %v %v", n, err, batch[0])
	}
	batch[0].Data[1] = 9 // rewritten in place
	if n, _ := p.Receivers()[0].Receive(batch[:]); n != 0 {
		t.Errorf("received %d frames more", n)
	}
	if s := p.Receivers()[0].Stats(); s.Frames != 1 || s.Bytes != 60 {
		t.Errorf("counted %+v", s)
	}
}

func TestQueueIsBounded(t *testing.T) {
	p := New(Config{Depth: 2})
	if n := p.Inject(0, frame(1, 60), frame(2, 60), frame(3, 60)); n != 2 {
		t.Errorf("%d of 3 frames found room for 2", n)
	}
	if s := p.queues[0].Stats(); s.Drops[port.DropFull] != 1 {
		t.Errorf("counted %+v", s)
	}
}

func TestTransmitDrops(t *testing.T) {
	p := New(Config{MTU: 100, Depth: 1})
	gso := frame(2, 5000)
	gso.VNet = packet.VNet{GSOType: packet.GSOTCPv4}
	n, s := transmit(t, p, frame(1, 115), gso, frame(3, 114))
	if n != 1 || s.Drops[port.DropSize] != 1 || s.Drops[port.DropBusy] != 1 {
		t.Errorf("sent %d, %+v", n, s)
	}
	if sent := p.Sent(); len(sent) != 1 || len(sent[0].Data) != 5000 {
		t.Errorf("sent %d frames", len(sent))
	}
	p.SetUp(false)
	if n, s := transmit(t, p, frame(1, 60)); n != 0 || s.Drops[port.DropDown] != 1 {
		t.Errorf("sent %d through a link that is down, %+v", n, s)
	}
	if p.Inject(0, frame(1, 60)) != 0 {
		t.Error("a frame came in by a link that is down")
	}
}

func TestConnect(t *testing.T) {
	a, b := New(Config{}), New(Config{})
	Connect(a, b)
	transmit(t, a, frame(1, 60), frame(2, 60))
	transmit(t, b, frame(3, 60))
	var batch [port.BatchMax]packet.Frame
	if n, _ := b.Receivers()[0].Receive(batch[:]); n != 2 || batch[1].Data[0] != 2 {
		t.Errorf("b received %d", n)
	}
	if n, _ := a.Receivers()[0].Receive(batch[:]); n != 1 || batch[0].Data[0] != 3 {
		t.Errorf("a received %d", n)
	}
}

func TestStatusChanges(t *testing.T) {
	p := New(Config{Device: "mem0"})
	for name, change := range map[string]func(){
		"mtu": func() { p.SetMTU(9000) }, "mac": func() { p.SetMAC(packet.MAC{2}) },
		"gone": func() { p.SetPresent(false) },
	} {
		change()
		select {
		case <-p.Changed():
		default:
			t.Errorf("%s: not signalled", name)
		}
	}
	s := p.Status()
	if s.MTU != 9000 || s.MAC != (packet.MAC{2}) || s.Present || s.Err == "" || s.Device != "mem0" {
		t.Errorf("status %+v", s)
	}
	if _, err := p.queues[0].Receive(make([]packet.Frame, 1)); err == nil {
		t.Error("a device that is gone received")
	}
	_ = p.SetMACs([]packet.MAC{{1}})
	_ = p.SetGroups([]packet.MAC{{3}})
	if len(p.MACs()) != 1 || len(p.Groups()) != 1 {
		t.Error("filters are not kept")
	}
	_ = p.Close()
	if _, err := p.NewTransmitter(); err == nil {
		t.Error("a closed port gave a transmitter")
	}
}
