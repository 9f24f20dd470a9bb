package hosttap

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Priorities of the rules, before those of the main table (32766). What an
// address of the TAP sends goes by the host's routes where one is more specific
// than a default route, and else by the TAP: the host may have a default route of
// its own, say to a network for its management, by which answers would be lost.
const (
	ruleMain = 30000 // the main table without its default routes
	ruleOwn  = 30001 // then the TAP's table
)

// rules are the two of an address.
func (t *TAP) rulesOf(a netip.Addr) []netlink.Rule {
	one := *netlink.NewRule()
	one.Family, one.Src, one.Protocol = netlink.FAMILY_V4, hostNet(a), Protocol
	if a.Is6() {
		one.Family = netlink.FAMILY_V6
	}
	specific, own := one, one
	specific.Priority, specific.Table, specific.SuppressPrefixlen = ruleMain, unix.RT_TABLE_MAIN, 0
	own.Priority, own.Table = ruleOwn, t.table()
	return []netlink.Rule{specific, own}
}

// setRules makes the rules of the device's addresses. Unlike all else they do
// not end with the device; those that a process before has left are removed:
// their address is nobody's.
func (t *TAP) setRules(addresses []netip.Prefix) error {
	var want []netlink.Rule
	for _, p := range addresses {
		if a := p.Addr(); !a.IsLinkLocalUnicast() {
			want = append(want, t.rulesOf(a)...)
		}
	}
	have, err := t.rules()
	if err != nil {
		return err
	}
	local, err := t.locals()
	if err != nil {
		return err
	}
	mine := map[netip.Addr]bool{}
	for _, r := range slices.Concat(want, have) {
		mine[source(&r)] = mine[source(&r)] || r.Table == t.table()
	}
	var errs []error
	for i := range have {
		r := &have[i]
		wanted := slices.ContainsFunc(want, func(w netlink.Rule) bool { return same(r, &w) })
		if !wanted && (mine[source(r)] || !local[source(r)]) {
			errs = append(errs, t.removeRule(r))
		}
	}
	for i := range want {
		w := &want[i]
		if slices.ContainsFunc(have, func(r netlink.Rule) bool { return same(&r, w) }) {
			continue
		}
		if err := t.handle.RuleAdd(w); err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("rule for what %s sends: %w", source(w), err))
		}
	}
	return errors.Join(errs...)
}

// rules returns those of this package, of this process or another.
func (t *TAP) rules() (list []netlink.Rule, err error) {
	for _, f := range families {
		have, err := t.handle.RuleList(f.number)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
			continue // the kernel is without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("look at the rules: %w", err)
		}
		for _, r := range have {
			if r.Protocol == Protocol && r.Src != nil && (r.Priority == ruleMain || r.Priority == ruleOwn) {
				r.Family = f.number
				list = append(list, r)
			}
		}
	}
	return list, nil
}

// locals returns all addresses of the host.
func (t *TAP) locals() (map[netip.Addr]bool, error) {
	all, err := t.handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("look at the host's addresses: %w", err)
	}
	local := make(map[netip.Addr]bool, len(all))
	for i := range all {
		local[prefixOf(&all[i]).Addr()] = true
	}
	return local, nil
}

// source is the address whose packets a rule is for.
func source(r *netlink.Rule) netip.Addr {
	a, _ := netip.AddrFromSlice(r.Src.IP)
	return a.Unmap()
}

// same reports whether two rules say the same.
func same(a, b *netlink.Rule) bool {
	return source(a) == source(b) && a.Priority == b.Priority && a.Table == b.Table && a.SuppressPrefixlen == b.SuppressPrefixlen
}

func (t *TAP) removeRule(r *netlink.Rule) error {
	if err := t.handle.RuleDel(r); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove the rule for what %s sends: %w", source(r), err)
	}
	return nil
}

// removeRules removes the rules of the device's addresses.
func (t *TAP) removeRules() {
	if t.index == 0 {
		return
	}
	if err := t.setRules(nil); err != nil {
		t.log.Warn("rules of the host TAP are left behind; they lead nowhere", "error", err)
	}
}
