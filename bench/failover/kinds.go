package main

import (
	"errors"
	"time"

	"vrouter/internal/netlab"
)

// kinds is what can be measured.
var kinds = []*kind{
	{
		name: "vrouter", title: "vrouter",
		about:      "its own forwarding on AF_PACKET, a group, a check that pings the upstream each 100 ms (fall 2); everything else as it is by default",
		virtualMAC: true, groups: true, checks: true, reloads: true,
		smallest: 10 * time.Millisecond,
		version:  func() (string, error) { return firstLine(program, "version") },
		make: func(p *place, interval time.Duration) (daemon, error) {
			return newVrouter(program, p, interval)
		},
	},
	{
		name: "keepalived", title: "keepalived",
		about:  "vrrp_sync_group, the kernel's MAC addresses, a vrrp_script that pings the upstream each second (fall 2), vrrp_priority -20 where it is allowed",
		groups: true, checks: true, reloads: true,
		smallest: 10 * time.Millisecond,
		version:  keepalivedVersion,
		make: func(p *place, interval time.Duration) (daemon, error) {
			return newKeepalived(p, interval, false)
		},
	},
	{
		name: "keepalived-vmac", title: "keepalived, use_vmac",
		about:  "the same with use_vmac: the virtual MAC on macvlan devices",
		groups: true, checks: true, reloads: true, virtualMAC: true,
		smallest: 10 * time.Millisecond,
		version:  keepalivedVersion,
		make: func(p *place, interval time.Duration) (daemon, error) {
			return newKeepalived(p, interval, true)
		},
	},
	{
		name: "frr", title: "FRR vrrpd",
		about:      "zebra and vrrpd, the virtual MAC on macvlan devices; it has no groups, checks or reload",
		virtualMAC: true,
		smallest:   100 * time.Millisecond,
		version: func() (string, error) {
			if netlab.SingleUser() {
				return "", errors.New("FRR changes to a user of its own, which needs root")
			}
			return firstLine("vrrpd", "--version")
		},
		make: newFRR,
	},
}

func keepalivedVersion() (string, error) { return firstLine("keepalived", "--version") }
