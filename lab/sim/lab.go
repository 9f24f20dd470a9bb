package sim

import (
	"fmt"
	"net/netip"
	"time"
)

// The names of virtual routers, by side and family, and of sides.
var (
	virtualNames = [2][2]string{{"lan4", "lan6"}, {"wan4", "wan6"}}
	sideNames    = [2]string{"lan", "wan"}
	familyNames  = [2]string{"IPv4", "IPv6"}
)

// Lab is the network of all scenarios: a LAN with a host, an upstream net with
// a host, and routers between them that are the virtual gateway of both.
type Lab struct {
	*World
	LAN, WAN *Switch
	families [2]bool
	period   time.Duration
	specs    []Spec // as routers were added
}

// NewLab returns the network without routers, which have to be added (Add)
// before the first Run. Probes go both ways in the given families, with the
// given period.
func NewLab(seed uint64, families [2]bool, period time.Duration) *Lab {
	w := New(seed)
	l := &Lab{World: w, LAN: w.NewSwitch("lan"), WAN: w.NewSwitch("wan"), families: families, period: period}
	for side, s := range w.Switches {
		for family, on := range families {
			if on {
				w.checks.virtual = append(w.checks.virtual, virtualRouterOf(side, family, s))
			}
		}
	}
	w.newHost("host", l.LAN, hostAddrs(0), gatewayAddrs(0))
	w.newHost("server", l.WAN, hostAddrs(1), gatewayAddrs(1))
	return l
}

// Add adds a router, which does not run yet.
func (l *Lab) Add(s Spec) (*Node, error) {
	if len(l.Routers) == maxRouters {
		return nil, fmt.Errorf("at most %d routers", maxRouters)
	}
	s.Families = l.families
	n, err := l.newNode(s.Name, s.config(len(l.Routers)+2), l.LAN, l.WAN)
	if err != nil {
		return nil, err
	}
	n.Rate, n.Late, n.checking = s.Rate, s.Late, s.Check >= 0
	l.checks.join(n, s)
	l.specs = append(l.specs, s)
	return n, nil
}

// Begin starts checks and probes.
func (l *Lab) Begin() {
	l.checks.begin()
	l.startFlows(l.Hosts[0], l.Hosts[1], l.families, l.period)
}

var (
	prefixes4 = [2]string{"192.0.2.", "203.0.113."}
	prefixes6 = [2]string{"2001:db8:1::", "2001:db8:2::"}
)

func hostAddrs(side int) [2]netip.Addr {
	return [2]netip.Addr{netip.MustParseAddr(prefixes4[side] + "100"), netip.MustParseAddr(prefixes6[side] + "100")}
}

func gatewayAddrs(side int) [2]netip.Addr {
	return [2]netip.Addr{netip.MustParseAddr(prefixes4[side] + "1"), netip.MustParseAddr(prefixes6[side] + "1")}
}

// virtualRouterOf says what the checker must know.
func virtualRouterOf(side, family int, s *Switch) *virtualRouter {
	v := &virtualRouter{
		name: virtualNames[side][family], side: side, v6: family == 1, vrid: byte(10 + 60*side), sw: s,
	}
	v.mac = [6]byte{0, 0, 0x5e, 0, byte(1 + family), v.vrid}
	v.addrs = [][]byte{gatewayAddrs(side)[family].AsSlice()}
	if v.v6 {
		linkLocal := netip.MustParseAddr(fmt.Sprintf("fe80::%d", side+1))
		v.addrs = append([][]byte{linkLocal.AsSlice()}, v.addrs...)
	}
	return v
}
