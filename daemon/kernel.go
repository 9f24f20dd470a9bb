package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"time"

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

// resubscribe is the pause before the kernel is asked again for its changes.
const resubscribe = time.Second

// watchKernelAddresses calls changed after each change of an address of the
// network namespace that it was called in, until ctx ends. Where the kernel
// had more changes than its socket holds it says so by an error (ENOBUFS): then
// everything may have changed, and the subscription begins anew.
func watchKernelAddresses(ctx context.Context, changed func()) error {
	updates, err := subscribeAddresses(ctx)
	if err != nil {
		return err
	}
	go func() {
		for ctx.Err() == nil {
			for range updates {
				changed()
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(resubscribe):
			}
			if again, err := subscribeAddresses(ctx); err == nil {
				updates = again
			}
			changed()
		}
	}()
	return nil
}

// subscribeAddresses returns a channel of changes that ends with ctx, or with
// an error of the socket.
func subscribeAddresses(ctx context.Context) (<-chan netlink.AddrUpdate, error) {
	updates := make(chan netlink.AddrUpdate, 64)
	if err := netlink.AddrSubscribe(updates, ctx.Done()); err != nil {
		return nil, fmt.Errorf("watching the kernel's addresses: %w", err)
	}
	return updates, nil
}
