package worker

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/fib"
	"vrouter/dataplane/port"
	"vrouter/dataplane/port/mem"
	"vrouter/packet"
)

// described is a receiver with a descriptor: an eventfd that counts what waits.
type described struct {
	fd     int
	mu     sync.Mutex
	frames []packet.Frame
}

func newDescribed(t *testing.T) *described {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &described{fd: fd}
}

func (d *described) inject(f packet.Frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.frames = append(d.frames, f)
	_, _ = unix.Write(d.fd, wakeOne[:])
}

func (d *described) Receive(batch []packet.Frame) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := copy(batch, d.frames)
	d.frames = d.frames[n:]
	if len(d.frames) == 0 {
		var count [8]byte
		_, _ = unix.Read(d.fd, count[:])
	}
	return n, nil
}

func (d *described) FD() int           { return d.fd }
func (d *described) Stats() port.Stats { return port.Stats{} }

// A port that comes while the worker runs is forwarded to, and then from.
func TestAPortComesWhileTheWorkerRuns(t *testing.T) {
	w := newWorld()
	worker := w.run(t)
	w.ports[lan].Inject(0, datagram("198.51.100.7", 64, 1, 20))
	await(t, "a packet forwarded before", func() bool { return len(w.ports[wan].Sent()) > 0 })

	const dmz = 2
	macDMZ, macServer := packet.MAC{2, 0, 0, 0, 0, 3}, packet.MAC{2, 0, 0, 0, 3, 10}
	third := mem.New(mem.Config{Device: "dmz", MAC: macDMZ, Depth: 4096})
	tx, err := third.NewTransmitter()
	if err != nil {
		t.Fatal(err)
	}
	worker.AddOutput(tx)
	in := newDescribed(t)
	if err := worker.AddInput(Input{dmz, in}); err != nil {
		t.Fatal(err)
	}
	if worker.Inputs() != 3 || worker.Output(dmz) != tx {
		t.Errorf("%d inputs", worker.Inputs())
	}
	in.inject(datagram("198.51.100.7", 64, 2, 20)) // of a port that no snapshot has yet
	next := *w.snapshot.Load()
	var hosts *fib.Neighbors
	next.Ports = append(slices.Clone(next.Ports), fib.Port{
		Name: "dmz", Up: true, MAC: macDMZ, MTU: 1500, Owns: true, Neighbors: hosts.With(ip("198.18.0.10"), macServer),
	})
	next.Groups = append(slices.Clone(next.Groups), fib.Group{Kind: fib.Connected, Port: dmz})
	next.Routes = next.Routes.With(fib.Change{Prefix: netip.MustParsePrefix("198.18.0.0/24"), Group: fib.GroupID(len(next.Groups) - 1)})
	await(t, "the early one dropped", func() bool {
		in.mu.Lock()
		defer in.mu.Unlock()
		return len(in.frames) == 0
	})
	w.snapshot.Store(&next)

	w.ports[lan].Inject(0, datagram("198.18.0.10", 64, 3, 20))
	await(t, "a packet to the new port", func() bool {
		sent := third.Sent()
		return len(sent) > 0 && packet.Ethernet(sent[0].Data).Dst() == macServer
	})
	back := datagram("198.51.100.7", 64, 4, 20)
	copy(back.Data, macDMZ[:])
	in.inject(back)
	await(t, "a packet from the new port", func() bool {
		sent := w.ports[wan].Sent()
		return len(sent) > 0 && number(sent[len(sent)-1]) == 4
	})
}

func TestAReceiverThatComesLaterNeedsADescriptor(t *testing.T) {
	w := newWorld()
	worker := w.run(t)
	if err := worker.AddInput(Input{2, w.ports[lan].Receivers()[0]}); !errors.Is(err, errNoDescriptor) {
		t.Error(err)
	}
}
