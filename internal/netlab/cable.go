package netlab

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// Cable joins two hosts directly, by a veth pair whose ends are up.
func Cable(a *Host, devA string, b *Host, devB string) error {
	veth := &netlink.Veth{
		LinkAttrs:        netlink.NewLinkAttrs(),
		PeerName:         devB,
		PeerHardwareAddr: stableMAC(b.Name + "." + devB),
		PeerNamespace:    netlink.NsFd(b.fd),
	}
	veth.Name = devA
	veth.HardwareAddr = stableMAC(a.Name + "." + devA)
	if err := a.handle.LinkAdd(veth); err != nil {
		return fmt.Errorf("cable from %s of %s to %s of %s: %w", devA, a.Name, devB, b.Name, err)
	}
	if err := a.up(devA); err != nil {
		return err
	}
	return b.up(devB)
}
