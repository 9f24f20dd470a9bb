package daemon

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernelAddresses returns the addresses that the kernel has on a device, in the
// kernel's order (the primary ones before the secondary ones of their prefix),
// none where the device does not exist.
func kernelAddresses(device string) ([]netip.Prefix, error) {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return nil, nil //nolint:nilerr // the port reports a missing device
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", device, err)
	}
	var list []netip.Prefix
	for _, a := range addrs {
		if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			continue // not usable as a source
		}
		ip, ok := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		if ok {
			list = append(list, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return list, nil
}

// watchKernelAddresses calls changed after each change of an address of the
// network namespace that it was called in, until ctx ends.
func watchKernelAddresses(ctx context.Context, changed func()) error {
	updates := make(chan netlink.AddrUpdate, 64)
	if err := netlink.AddrSubscribe(updates, ctx.Done()); err != nil {
		return fmt.Errorf("watching the kernel's addresses: %w", err)
	}
	go func() {
		for range updates {
			changed()
		}
	}()
	return nil
}
