package netlab

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// States of a bridge's port (<linux/if_bridge.h>).
const (
	portDisabled   = 0
	portForwarding = 3
)

// Block makes the switch pass nothing between this link and the others, while
// both ends of the cable keep their carrier: a network that fell apart behind
// the port. Off undoes it. What the switch has learned stays.
func (l *Link) Block(on bool) error {
	state := byte(portForwarding)
	if on {
		state = portDisabled
	}
	port, err := l.sw.host.link(l.port)
	if err != nil {
		return err
	}
	return l.sw.host.Do(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
		msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
		msg.Index = int32(port.Attrs().Index)
		req.AddData(msg)
		info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
		info.AddRtAttr(nl.IFLA_BRPORT_STATE, []byte{state})
		req.AddData(info)
		if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
			return fmt.Errorf("switch %s: port %s: %w", l.sw.Name, l.port, err)
		}
		return nil
	})
}

// Isolate makes the switch pass nothing between this link and other isolated
// ones; off undoes it.
func (l *Link) Isolate(on bool) error {
	port, err := l.sw.host.link(l.port)
	if err != nil {
		return err
	}
	return l.sw.host.handle.LinkSetIsolated(port, on)
}

// Carrier reports whether the host's end of the cable has a carrier.
func (l *Link) Carrier() (bool, error) {
	link, err := l.Host.link(l.Device)
	if err != nil {
		return false, err
	}
	return link.Attrs().OperState == netlink.OperUp, nil
}

// Forget makes the switch forget behind which port each MAC address is.
func (s *Switch) Forget() error {
	return s.host.Do(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
		msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
		msg.Index = int32(s.bridge.Attrs().Index)
		req.AddData(msg)
		info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
		info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
		data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
		data.AddRtAttr(nl.IFLA_BR_FDB_FLUSH, nil)
		req.AddData(info)
		if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
			return fmt.Errorf("switch %s: flush: %w", s.Name, err)
		}
		return nil
	})
}

// commandTime is how long a tool may take.
const commandTime = 10 * time.Second

// DropVRRP makes the switch drop the VRRP advertisements that come in from
// this link, of both families, and nothing else. It needs the program nft.
func (l *Link) DropVRRP() error {
	const rules = `table netdev %s {
	chain in {
		type filter hook ingress device %q priority 0;
		ip protocol 112 counter drop
		ip6 nexthdr 112 counter drop
	}
}`
	return l.nft(fmt.Sprintf(rules, l.table(), l.port))
}

// PassVRRP undoes DropVRRP, and returns how many advertisements were dropped.
func (l *Link) PassVRRP() (dropped int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	text, err := l.sw.host.Run(ctx, "nft", "list", "table", "netdev", l.table())
	if err != nil {
		return 0, err
	}
	for _, m := range counterPackets.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, err
		}
		dropped += n
	}
	return dropped, l.nft(fmt.Sprintf("delete table netdev %s", l.table()))
}

// table is the name of the link's table of nftables.
func (l *Link) table() string { return "drop_" + strings.ReplaceAll(l.port, ".", "_") }

var counterPackets = regexp.MustCompile(`counter packets (\d+)`)

// nft carries out a script in the namespace of the switches.
func (l *Link) nft(script string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	_, err := l.sw.host.Run(ctx, "nft", script)
	return err
}
