package afpacket

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vrouter/dataplane/port/xsk"
)

// The express lanes of a port: AF_XDP beside the packet sockets. Frames that the
// router owns come by them; what they cannot carry (frames larger than a buffer,
// which GSO makes, and where the kernel keeps the addresses its own traffic) comes
// by the packet socket.

// openExpress opens AF_XDP on all queues of the device.
func (p *Port) openExpress(d *device, queues int) error {
	program, err := xsk.Load(queues, !p.cfg.OwnAddresses)
	if err == nil {
		d.program = program
		d.native, err = program.Attach(d.index)
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: AF_XDP needs CAP_BPF and CAP_NET_ADMIN outside of user namespaces: "+
			"grant them, or set attach = \"af_packet\"", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: another program is on the device: take it off (ip link set dev %s xdp off), "+
			"or set attach = \"af_packet\"", err, p.cfg.Device)
	case err != nil:
		return err
	}
	for number := range queues {
		q, err := p.cfg.Express.Open(d.index, number, d.native)
		if number > 0 && errors.Is(err, unix.EINVAL) {
			break // the device has queues that are not in use
		}
		if err != nil {
			return err
		}
		d.lanes = append(d.lanes, q)
	}
	p.log.Info("AF_XDP is open", "native", d.native, "queues", len(d.lanes), "zero copy", !d.lanes[0].Copied())
	return nil
}

// serveExpress lets frames come by the lanes.
func (d *device) serveExpress() error {
	if d.program == nil {
		return nil
	}
	for _, q := range d.lanes {
		if err := d.program.Serve(q); err != nil {
			return err
		}
	}
	return nil
}

// share returns the lanes of one of several receivers.
func (d *device) share(receiver, receivers int) (lanes []*xsk.Queue) {
	for i := receiver; i < len(d.lanes); i += receivers {
		lanes = append(lanes, d.lanes[i])
	}
	return lanes
}

// closeExpress takes the program off the device, and closes the lanes that no
// receiver has got: the others are closed by the workers that read them.
func (d *device) closeExpress(receivers int) {
	if d.program == nil {
		return
	}
	d.program.Close()
	for i := d.claimed; i < receivers; i++ {
		for _, q := range d.share(i, receivers) {
			q.Close()
		}
	}
}
