package xsk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"vrouter/packet"
)

// Program decides on a device which frames go to AF_XDP sockets; the others go
// the usual way, packet sockets included. It is attached by a BPF link: the kernel
// takes it off when the process ends, however that happens.
type Program struct {
	sockets *ebpf.Map // XSKMAP: queue -> socket
	macs    *ebpf.Map // whose frames are taken; nil: all
	program *ebpf.Program
	link    link.Link
	known   map[packet.MAC]bool
}

// macsMax is how many addresses a device's frames are told by: 256 virtual
// routers of each family, with room for those that change.
const macsMax = 1024

// xdpPass is XDP_PASS of enum xdp_action (bpf.h), and what the redirection comes
// to where a queue has no socket.
const xdpPass = 2

// Load makes a program for a device with the given number of queues. only says
// that just IP packets to the addresses of SetMACs are taken: the rest is the
// kernel's. EPERM says that CAP_BPF and CAP_NET_ADMIN are missing, which nobody
// has in a user namespace.
func Load(queues int, only bool) (*Program, error) {
	p := &Program{known: map[packet.MAC]bool{}}
	if err := p.load(queues, only); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Program) load(queues int, only bool) (err error) {
	p.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues)})
	if err != nil {
		return fmt.Errorf("map of AF_XDP sockets: %w", err)
	}
	if only {
		p.macs, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 8, ValueSize: 1, MaxEntries: macsMax})
		if err != nil {
			return fmt.Errorf("map of virtual MAC addresses: %w", err)
		}
	}
	p.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, Name: "vrouter", Instructions: p.code(), License: "GPL"})
	if err != nil {
		return fmt.Errorf("XDP program: %w", err)
	}
	return nil
}

// code is the program (Documentation/bpf/map_xskmap.rst). Frames that are larger
// than a buffer pass: packet sockets have them whole, with their virtio-net header.
func (p *Program) code() asm.Instructions {
	const context, data, end, at = asm.R6, asm.R2, asm.R3, asm.R4
	code := asm.Instructions{
		asm.Mov.Reg(context, asm.R1),
		asm.LoadMem(data, context, 0, asm.Word), // xdp_md.data
		asm.LoadMem(end, context, 4, asm.Word),  // xdp_md.data_end
		asm.Mov.Reg(at, data),
		asm.Add.Imm(at, ReceiveMax+1),
		asm.JLE.Reg(at, end, "pass"),
		asm.Mov.Reg(at, data),
		asm.Add.Imm(at, packet.EthernetLen),
		asm.JGT.Reg(at, end, "pass"),
	}
	if p.macs != nil {
		code = append(code,
			asm.LoadMem(asm.R5, data, 12, asm.Half),
			asm.JEq.Imm(asm.R5, wire(packet.EtherTypeIPv4), "ip"),
			asm.JNE.Imm(asm.R5, wire(packet.EtherTypeIPv6), "pass"),
			asm.LoadMem(asm.R5, data, 0, asm.Word).WithSymbol("ip"),
			asm.StoreMem(asm.RFP, -8, asm.R5, asm.Word),
			asm.LoadMem(asm.R5, data, 4, asm.Half),
			asm.StoreMem(asm.RFP, -4, asm.R5, asm.Half),
			asm.StoreImm(asm.RFP, -2, 0, asm.Half),
			asm.LoadMapPtr(asm.R1, p.macs.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -8),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "pass"),
		)
	}
	return append(code,
		asm.LoadMem(asm.R2, context, 16, asm.Word), // xdp_md.rx_queue_index
		asm.LoadMapPtr(asm.R1, p.sockets.FD()),
		asm.Mov.Imm(asm.R3, xdpPass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),
	)
}

// wire returns an EtherType as a load of two bytes of the frame gives it.
func wire(etherType uint16) int32 {
	return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, etherType)))
}

// Attach puts the program on a device, in the network namespace of the calling
// thread, and reports whether the device's driver runs it. EBUSY says that there
// is another program.
func (p *Program) Attach(index int) (native bool, err error) {
	for _, mode := range []link.XDPAttachFlags{link.XDPDriverMode, link.XDPGenericMode} {
		p.link, err = link.AttachXDP(link.XDPOptions{Program: p.program, Interface: index, Flags: mode})
		if err == nil {
			return mode == link.XDPDriverMode, nil
		}
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) {
			break
		}
	}
	return false, fmt.Errorf("attach the XDP program: %w", err)
}

// Serve has the frames of the queue go to it.
func (p *Program) Serve(q *Queue) error {
	if err := p.sockets.Put(uint32(q.number), uint32(q.fd)); err != nil {
		return fmt.Errorf("AF_XDP queue %d: %w", q.number, err)
	}
	return nil
}

// SetMACs replaces the addresses whose frames are taken.
func (p *Program) SetMACs(macs []packet.MAC) error {
	if p.macs == nil {
		return nil
	}
	want := map[packet.MAC]bool{}
	var errs []error
	for _, mac := range macs {
		want[mac] = true
		if !p.known[mac] {
			errs = append(errs, p.macs.Put(key(mac), byte(1)))
			p.known[mac] = true
		}
	}
	for mac := range p.known {
		if !want[mac] {
			errs = append(errs, p.macs.Delete(key(mac)))
			delete(p.known, mac)
		}
	}
	return errors.Join(errs...)
}

func key(mac packet.MAC) (k [8]byte) {
	copy(k[:], mac[:])
	return k
}

// Close takes the program off the device.
func (p *Program) Close() {
	if p.link != nil {
		p.link.Close()
	}
	p.program.Close()
	p.macs.Close()
	p.sockets.Close()
}
