package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"vrouter/internal/netlab"
)

const picture = `
  gen 192.0.2.10 ---- left [router] right ---- 198.51.100.10 sink
                                               203.0.113.0/24 is routed behind it
`

// Devices and addresses; the router's are .1 of each network.
const (
	genDevice, leftDevice   = "gen0", "left0"
	rightDevice, sinkDevice = "right0", "sink0"

	leftNet, rightNet = "192.0.2.1/24", "198.51.100.1/24"
	behind            = "203.0.113.0/24"
)

var (
	genAddr   = netip.MustParseAddr("192.0.2.10")
	leftAddr  = netip.MustParseAddr("192.0.2.1")
	rightAddr = netip.MustParseAddr("198.51.100.1")
	sinkAddr  = netip.MustParseAddr("198.51.100.10")
)

// network is a sender and a receiver, and the router's place between them, or
// nothing: then their devices are the ends of one cable.
type network struct {
	lab       *netlab.Lab
	gen, sink *netlab.Host
	dut       *netlab.Host
	direct    bool
}

func newNetwork(direct bool) (n *network, err error) {
	l, err := netlab.New()
	if err != nil {
		return nil, err
	}
	n = &network{lab: l, direct: direct}
	if err := n.build(); err != nil {
		l.Close()
		return nil, err
	}
	return n, nil
}

func (n *network) build() (err error) {
	for name, h := range map[string]**netlab.Host{"gen": &n.gen, "dut": &n.dut, "sink": &n.sink} {
		if *h, err = n.lab.Host(name); err != nil {
			return err
		}
		// Only what is measured shall be on the cables.
		if err := (*h).Sysctl("net/ipv6/conf/default/disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if n.direct {
		err = n.lab.Cable(n.gen, genDevice, n.sink, sinkDevice)
	} else {
		err = errors.Join(
			n.lab.Cable(n.dut, leftDevice, n.gen, genDevice),
			n.lab.Cable(n.dut, rightDevice, n.sink, sinkDevice))
	}
	if err != nil {
		return err
	}
	return errors.Join(
		n.gen.Address(genDevice, genAddr.String()+"/24"),
		n.sink.Address(sinkDevice, sinkAddr.String()+"/24"),
		n.gen.Route("0.0.0.0/0", leftAddr.String(), ""),
		n.sink.Route("0.0.0.0/0", rightAddr.String(), ""),
		n.sink.Blackhole(behind),
	)
}

func (n *network) close() error { return n.lab.Close() }

// dropAll makes a host drop, before its kernel looks at them, the frames that
// come in on a device and match an nftables expression; packet sockets see them
// all the same. It needs the program nft.
func (n *network) dropAll(ctx context.Context, h *netlab.Host, dev, match string) error {
	file := filepath.Join(n.lab.Dir, h.Name+"-"+dev+".nft")
	text := fmt.Sprintf("table netdev drop_%s {\n\tchain in {\n\t\ttype filter hook ingress device %q priority 0;\n\t\t%s drop\n\t}\n}\n",
		dev, dev, match)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := h.Run(ctx, "nft", "-f", file)
	return err
}

// routerMAC asks the router for the MAC address of its left side. One that does
// not speak ARP has those of its devices, and the hosts are told.
func (n *network) routerMAC(ctx context.Context, k *kind) (net.HardwareAddr, error) {
	if n.direct {
		return n.sink.MAC(sinkDevice)
	}
	if !k.arp {
		left, errLeft := n.dut.MAC(leftDevice)
		right, errRight := n.dut.MAC(rightDevice)
		return left, errors.Join(errLeft, errRight,
			n.neighbor(ctx, n.gen, genDevice, leftAddr, left), n.neighbor(ctx, n.sink, sinkDevice, rightAddr, right))
	}
	for end := time.Now().Add(startPatience); time.Now().Before(end) && ctx.Err() == nil; {
		answers, err := n.gen.Who(genDevice, genAddr, leftAddr, 200*time.Millisecond)
		if err != nil {
			return nil, err
		}
		if len(answers) > 0 {
			return net.HardwareAddr(answers[0].MAC[:]), nil
		}
	}
	return nil, errors.New("the router does not answer ARP")
}

func (n *network) neighbor(ctx context.Context, h *netlab.Host, dev string, addr netip.Addr, mac net.HardwareAddr) error {
	_, err := h.Run(ctx, "ip", "neigh", "replace", addr.String(), "lladdr", mac.String(), "dev", dev, "nud", "permanent")
	return err
}
