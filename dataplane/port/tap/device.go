package tap

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// Offloads of TUNSETOFFLOAD (<linux/if_tun.h>): what we take in frames that
// we read.
const (
	tunCsum   = 0x01
	tunTSO4   = 0x02
	tunTSO6   = 0x04
	tunTSOECN = 0x08
	tunUSO4   = 0x20 // Linux 6.2
	tunUSO6   = 0x40
)

// create makes the device and opens its queues. exists tells that there is one
// of that name already: a TAP that nobody holds is taken over.
func (p *Port) create(exists bool) error {
	if err := p.make(exists); err != nil {
		return err
	}
	for range p.queues {
		fd, offload, err := openQueue(p.cfg.Name)
		if err != nil {
			p.destroy()
			return err
		}
		p.fds = append(p.fds, fd)
		p.offload = offload
	}
	// From now on the device ends with its last descriptor.
	if err := unix.IoctlSetInt(p.fds[0], unix.TUNSETPERSIST, 0); err != nil {
		p.destroy()
		return fmt.Errorf("TUNSETPERSIST: %w", err)
	}
	for i, q := range p.queues {
		if err := q.attach(p.fds[i]); err != nil {
			p.destroy()
			return err
		}
	}
	i := 0
	for t := range p.paths {
		if err := t.attachDup(p.fds[i%len(p.fds)]); err != nil {
			p.destroy()
			return err
		}
		i++
	}
	return nil
}

// make creates the device by package water, persistent, and closes it again:
// water cannot ask for the virtio-net header, and a queue that is opened beside
// one without that does not get it.
func (p *Port) make(exists bool) error {
	device, err := water.New(water.Config{
		DeviceType: water.TAP,
		PlatformSpecificParams: water.PlatformSpecificParams{
			Name: p.cfg.Name, Persist: true, MultiQueue: true,
		},
	})
	switch {
	case err == nil:
		return device.Close()
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: load the kernel module tun (modprobe tun), or give the container /dev/net/tun", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run with CAP_NET_ADMIN", err)
	case exists:
		return fmt.Errorf("a device of this name exists and cannot be taken over: %w; remove it (ip link del %s), or choose another name",
			err, p.cfg.Name)
	}
	return err
}

// openQueue opens one more queue of the device, with virtio-net header and
// offloads.
func openQueue(name string) (fd int, offload packet.Offload, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("/dev/net/tun: %w", err)
	}
	if offload, err = setUp(fd, name); err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, offload, nil
}

func setUp(fd int, name string) (packet.Offload, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("device name %q: %w", name, err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return 0, fmt.Errorf("TUNSETIFF: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, packet.VNetLen); err != nil {
		return 0, fmt.Errorf("TUNSETVNETHDRSZ: %w", err)
	}
	const basic = tunCsum | tunTSO4 | tunTSO6 | tunTSOECN
	offload := packet.OffloadCsum | packet.OffloadTSO4 | packet.OffloadTSO6
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, basic|tunUSO4|tunUSO6) == nil {
		return offload | packet.OffloadUSO, nil
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, basic); err != nil {
		return 0, fmt.Errorf("TUNSETOFFLOAD: %w", err)
	}
	return offload, nil
}

// destroy lets go of the device, which ends with the last descriptor: those of
// workers close when they change over.
func (p *Port) destroy() {
	p.index = 0
	for _, q := range p.queues {
		_ = q.attach(-1) // detaching does not fail
	}
	for t := range p.paths {
		t.attach(-1)
	}
	// The receivers own the queues' descriptors once these are attached; those
	// that were not are closed here.
	for _, fd := range p.fds {
		if !p.owned(fd) {
			unix.Close(fd)
		}
	}
	p.fds = nil
}

// owned reports whether a receiver has taken the descriptor.
func (p *Port) owned(fd int) bool {
	for _, q := range p.queues {
		if q.took(fd) {
			return true
		}
	}
	return false
}
