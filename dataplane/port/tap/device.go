package tap

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"vrouter/dataplane/port/kernel"
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

// create makes the device and opens its queues; link is the device of that
// name that exists already, or nil: a TAP that nobody holds is taken over.
func (p *Port) create(link *kernel.Link) error {
	switch {
	case link == nil:
		if err := p.make(); err != nil {
			return err
		}
	case link.Queues > 0:
		return errors.New("another process, probably another vrouter, holds a TAP device of this name")
	}
	fds, err := p.openQueues()
	if err != nil && link != nil {
		return fmt.Errorf("a device of this name exists and cannot be taken over: %w; remove it (ip link del %s), or choose another name",
			err, p.cfg.Name)
	}
	if err != nil {
		return err
	}
	for i, q := range p.queues {
		if err := q.attach(fds[i]); err != nil {
			closeAll(fds[i:]) // those before belong to their receivers
			p.destroy()
			return err
		}
	}
	p.fds = fds
	i := 0
	for t := range p.paths {
		if err := t.attachDup(fds[i%len(fds)]); err != nil {
			p.destroy()
			return err
		}
		i++
	}
	return nil
}

// openQueues opens a descriptor for each queue, and makes the device end with
// the last of them.
func (p *Port) openQueues() (fds []int, err error) {
	for range p.queues {
		fd, offload, err := openQueue(p.cfg.Name)
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		fds = append(fds, fd)
		p.offload = offload
	}
	if err := unix.IoctlSetInt(fds[0], unix.TUNSETPERSIST, 0); err != nil {
		closeAll(fds)
		return nil, fmt.Errorf("TUNSETPERSIST: %w", err)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// make creates the device by package water, persistent, and closes it again:
// water cannot ask for the virtio-net header, and a queue that is opened beside
// one without that does not get it.
func (p *Port) make() error {
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
		return fmt.Errorf("/dev/net/tun: %w: load the kernel module tun (modprobe tun), or give the container /dev/net/tun", err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("/dev/net/tun: %w: let the user open it (chmod 0666 /dev/net/tun), or run as root", err)
	}
	return kernel.Permission("create", err)
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

// destroy lets go of the device, which ends with the last descriptor: those
// that workers use close when they change over.
func (p *Port) destroy() {
	p.index, p.ready, p.fds = 0, false, nil
	for _, q := range p.queues {
		_ = q.attach(-1) // detaching does not fail
	}
	for t := range p.paths {
		t.attach(-1)
	}
}
