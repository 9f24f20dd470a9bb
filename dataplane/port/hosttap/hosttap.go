// Package hosttap gives the host's kernel the addresses of an interface that the
// router has taken over: on a TAP with the interface's MAC, to which the router
// hands what is addressed to them, and from which it takes what the kernel sends.
// So unmodified programs of the host are reached through the router, and reach
// out through it.
//
// On the device there is no ARP and no Neighbor Discovery (IFF_NOARP): every
// packet of the kernel comes at once, whatever its next hop, and the router finds
// the way by its own routes. The kernel says nothing by itself: no duplicate
// address detection, no router solicitation. The TAP ends with the process,
// however that ends, and with it the addresses and the routes.
package hosttap

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrouter/dataplane/port"
	"vrouter/dataplane/port/kernel"
	"vrouter/dataplane/port/tap"
	"vrouter/packet"
)

// Config is what the kernel is to have.
type Config struct {
	Device    string     // name of the TAP, at most 15 bytes
	MAC       packet.MAC // of the interface
	MTU       int        // of the interface
	Addresses []netip.Prefix
	// Carrier says that the interface is up: daemons see it go down. The addresses
	// go on being reached by other interfaces.
	Carrier bool
	// Default4 and Default6 say that the host's default route of last resort leads
	// here: one that any other goes before.
	Default4, Default6 bool
	// Routes lead here whatever default route the host has.
	Routes []Route
}

// Route leads to one address.
type Route struct {
	To   netip.Addr
	From netip.Addr // the source that the host takes; zero: the kernel chooses
}

// TAP is a host TAP. Receiver and Transmitter belong to one goroutine each, all
// else to one.
type TAP struct {
	port   *tap.Port
	tx     port.Transmitter
	handle *netlink.Handle
	guard  *kernel.NoTransit // nil: nothing keeps the kernel from forwarding
	log    *slog.Logger
	first  Config // with which the device is set up
	index  int    // of the device that routes are known of; 0: none
	routes []netlink.Route
	has    []netip.Prefix // addresses that the kernel has there, as last set
}

// Open creates the TAP in the network namespace of the calling thread. Set gives
// it its addresses. An error names the remedy; trying again later makes sense.
func Open(cfg Config, log *slog.Logger) (*TAP, error) {
	t := &TAP{log: log.With("device", cfg.Device), first: cfg}
	var err error
	if t.handle, err = netlink.NewHandle(); err != nil {
		return nil, fmt.Errorf("route netlink: %w", err)
	}
	if t.port, err = tap.Open(tap.Config{Name: cfg.Device, Log: log, Kernel: t.setUp}); err != nil {
		t.Close()
		return nil, err
	}
	if t.tx, err = t.port.NewTransmitter(); err != nil {
		t.Close()
		return nil, err
	}
	t.guardTransit()
	return t, nil
}

// Close ends the TAP. Nobody may use the receiver and the transmitter any more.
func (t *TAP) Close() {
	t.removeRules()
	if t.tx != nil {
		_ = t.tx.Close() // nothing of it is used any more
	}
	if t.port != nil {
		if err := t.port.Close(); err != nil {
			t.log.Error("host TAP not closed", "error", err)
		}
	}
	if t.guard != nil {
		go t.guard.Close() // nobody waits for what it takes the kernel to forget it
	}
	t.handle.Close()
}

// Receiver returns where the kernel's packets come from.
func (t *TAP) Receiver() port.Receiver { return t.port.Receivers()[0] }

// Transmitter returns where the kernel's packets go to.
func (t *TAP) Transmitter() port.Transmitter { return t.tx }

// Changed signals that the device is another one, or gone: Set again.
func (t *TAP) Changed() <-chan struct{} { return t.port.Changed() }

// Index returns the kernel's number of the device, 0 where there is none.
func (t *TAP) Index() int {
	if s := t.port.Status(); s.Present {
		return s.Index
	}
	return 0
}

// Has reports whether the kernel has an address on the TAP.
func (t *TAP) Has(a netip.Addr) bool {
	return slices.ContainsFunc(t.has, func(p netip.Prefix) bool { return p.Addr() == a })
}

// Ready reports whether it has any.
func (t *TAP) Ready() bool { return len(t.has) > 0 }

// Set brings the kernel in step with a configuration, of the same device. It may
// be called at any time, and puts right what others have changed. An error says
// what is missing; the rest is there all the same (see Has).
func (t *TAP) Set(cfg Config) error {
	t.has = nil
	s := t.port.Status()
	if !s.Present {
		if s.Err == "" {
			return errors.New("the device is not there")
		}
		return errors.New(s.Err)
	}
	if s.Index != t.index { // with the device all that was on it has gone
		t.index, t.routes = s.Index, nil
	}
	if err := t.elsewhere(cfg.Addresses); err != nil {
		return err
	}
	if err := t.setLink(cfg); err != nil {
		return err
	}
	err := t.setAddresses(cfg.Addresses)
	cfg.Addresses = t.has
	return errors.Join(err, t.setRoutes(&cfg), t.setRules(cfg.Addresses))
}

// setLink gives the device the interface's MAC and MTU.
func (t *TAP) setLink(cfg Config) error {
	link, err := t.handle.LinkByIndex(t.index)
	if err != nil {
		return fmt.Errorf("look at the device: %w", err)
	}
	a := link.Attrs()
	if packet.MAC(a.HardwareAddr) != cfg.MAC {
		if err := t.handle.LinkSetHardwareAddr(link, cfg.MAC[:]); err != nil {
			return fmt.Errorf("set MAC address %s: %w", cfg.MAC, err)
		}
	}
	if a.MTU != cfg.MTU {
		if err := t.handle.LinkSetMTU(link, cfg.MTU); err != nil {
			return fmt.Errorf("set MTU %d: %w", cfg.MTU, err)
		}
	}
	if a.RawFlags&unix.IFF_NOARP == 0 {
		if err := t.handle.LinkSetARPOff(link); err != nil {
			return fmt.Errorf("switch ARP off: %w", err)
		}
	}
	if a.RawFlags&unix.IFF_UP == 0 {
		if err := t.handle.LinkSetUp(link); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
	}
	if has := a.RawFlags&unix.IFF_LOWER_UP != 0; has != cfg.Carrier || a.RawFlags&unix.IFF_UP == 0 {
		if err := t.port.SetCarrier(cfg.Carrier); err != nil && !cfg.Carrier {
			t.log.Debug("the host sees a link that is down as up", "error", err) // before Linux 5.0
		}
	}
	return nil
}

// elsewhere returns an error where an address is on another device of the host,
// too: that device's route to the link would be the first.
func (t *TAP) elsewhere(addresses []netip.Prefix) error {
	all, err := t.handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("look at the host's addresses: %w", err)
	}
	for i := range all {
		p := prefixOf(&all[i])
		own := slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Addr() == p.Addr() })
		if all[i].LinkIndex == t.index || !own || p.Addr().IsLinkLocalUnicast() || p.IsSingleIP() {
			continue
		}
		name := fmt.Sprint("number ", all[i].LinkIndex)
		if link, err := t.handle.LinkByIndex(all[i].LinkIndex); err == nil {
			name = link.Attrs().Name
		}
		return fmt.Errorf("the kernel has address %s on device %s, too, by which the host's packets would go: remove it there (ip address del %s dev %s, and from what configures it)", p.Addr(), name, p, name)
	}
	return nil
}

// setAddresses makes the device's addresses those of a list.
func (t *TAP) setAddresses(want []netip.Prefix) error {
	link := byIndex(t.index)
	have, err := t.handle.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("look at the addresses: %w", err)
	}
	for i := range have {
		if p := prefixOf(&have[i]); !slices.Contains(want, p) {
			if err := t.handle.AddrDel(link, &have[i]); err != nil {
				return fmt.Errorf("remove address %s: %w", p, err)
			}
		}
	}
	var errs []error
	// Which are left is to be seen: secondary ones may go with their primary one.
	if have, err = t.handle.AddrList(link, netlink.FAMILY_ALL); err != nil {
		return fmt.Errorf("look at the addresses: %w", err)
	}
	for _, p := range want {
		if !slices.ContainsFunc(have, func(a netlink.Addr) bool { return prefixOf(&a) == p }) {
			if err := t.addAddress(link, p); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		t.has = append(t.has, p)
	}
	return errors.Join(errs...)
}
