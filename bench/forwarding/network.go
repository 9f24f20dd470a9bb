package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"

	"vrouter/internal/netlab"
)

const picture = `
    generator 192.0.2.10 --- 192.0.2.1 router 198.51.100.1 --- 198.51.100.10 sink
                                                               with 203.0.113.0/24 behind it
`

// Devices and addresses of the network.
const (
	generatorDevice, leftDevice   = "gen0", "left0"
	sinkDevice, rightDevice       = "sink0", "right0"
	generatorAddress, leftAddress = "192.0.2.10", "192.0.2.1"
	sinkAddress, rightAddress     = "198.51.100.10", "198.51.100.1"
	behind                        = "203.0.113.0/24"
)

// network is the lab of one trial.
type network struct {
	lab              *netlab.Lab
	gen, router, end *netlab.Host
	direct           bool // without a router: the generator's cable ends at the sink
	pinned           bool // the router's processes have a CPU, and the generator has another
	next             net.HardwareAddr
}

// newNetwork makes the network of a router. Direct, the generator is joined to
// the sink: what that costs is taken off the routers' costs.
func newNetwork(direct, pinned bool) (n *network, err error) {
	n = &network{direct: direct, pinned: pinned && runtime.NumCPU() > 1}
	if n.lab, err = netlab.New(); err != nil {
		return nil, err
	}
	if err = n.build(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *network) build() (err error) {
	for _, h := range []struct {
		host **netlab.Host
		name string
	}{{&n.gen, "gen"}, {&n.router, "dut"}, {&n.end, "sink"}} {
		if *h.host, err = n.lab.Host(h.name); err != nil {
			return err
		}
	}
	if n.direct {
		if err := netlab.Cable(n.gen, generatorDevice, n.end, sinkDevice); err != nil {
			return err
		}
		n.next, err = n.end.MAC(sinkDevice)
		return err
	}
	if err := netlab.Cable(n.gen, generatorDevice, n.router, leftDevice); err != nil {
		return err
	}
	if err := netlab.Cable(n.router, rightDevice, n.end, sinkDevice); err != nil {
		return err
	}
	if err := n.gen.Address(generatorDevice, generatorAddress+"/24"); err != nil {
		return err
	}
	if err := n.end.Address(sinkDevice, sinkAddress+"/24"); err != nil {
		return err
	}
	if err := n.gen.Route("0.0.0.0/0", leftAddress, ""); err != nil {
		return err
	}
	return n.end.Route("0.0.0.0/0", rightAddress, "")
}

func (n *network) close() { _ = n.lab.Close() } // all of it goes with the program anyway

// reach waits until a packet gets from the generator's host to the sink and back,
// and learns the router's address.
func (n *network) reach(ctx context.Context) error {
	var last error
	for range 50 {
		_, last = n.gen.Run(ctx, "ping", "-n", "-q", "-c1", "-W1", sinkAddress)
		if last == nil {
			n.next, last = n.gen.Neighbor(generatorDevice, netip.MustParseAddr(leftAddress))
			return last
		}
		if ctx.Err() != nil {
			return last
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the router does not forward: %w", last)
}

// discard has the sink drop the flood as early as it can be dropped.
func (n *network) discard(ctx context.Context) error {
	if _, err := exec.LookPath("nft"); err != nil {
		_, err = n.end.Run(ctx, "ip", "route", "add", "blackhole", behind)
		return err
	}
	for _, line := range []string{
		"add table netdev sink",
		"add chain netdev sink early { type filter hook ingress device " + strconv.Quote(sinkDevice) + " priority -300 ; }",
		"add rule netdev sink early ip daddr " + behind + " drop",
	} {
		if _, err := n.end.Run(ctx, "nft", line); err != nil {
			return err
		}
	}
	return nil
}

// arrived returns how many frames have reached the sink.
func (n *network) arrived() (count uint64, err error) {
	err = n.end.Do(func() error {
		link, err := netlink.LinkByName(sinkDevice)
		if err == nil {
			count = link.Attrs().Statistics.RxPackets
		}
		return err
	})
	return count, err
}
