package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Spec is how a router of a Lab is configured. All its virtual routers are
// configured alike.
type Spec struct {
	Name         string
	Priority     int
	Interval     time.Duration
	Version      int
	Families     [2]bool // IPv4, IPv6
	Preempt      bool
	PreemptDelay time.Duration
	Drain        time.Duration
	FastDetect   bool
	Auth         string        // of version 2: password or ah; empty: none
	Rate         float64       // of its clock
	Late         time.Duration // bounds how late its timers fire
}

// DefaultSpec returns what a router is without further words.
func DefaultSpec(name string) Spec {
	return Spec{
		Name: name, Priority: 100, Interval: time.Second, Version: 3, Families: [2]bool{true, true},
		Preempt: true, Drain: time.Second, Rate: 1,
	}
}

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
	n.Rate, n.Late = s.Rate, s.Late
	l.checks.join(n, s)
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

// config writes the router's configuration file.
func (s *Spec) config(host int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[router]\nname = %q\n", s.Name)
	for side, name := range sideNames {
		fmt.Fprintf(&b, "\n[[interface]]\nname = %q\nattach = \"af_packet\"\ndevice = \"eth%d\"\n", name, side)
		fmt.Fprintf(&b, "addresses = [\"%s%d/24\", \"%s%x/64\"]\n", prefixes4[side], host, prefixes6[side], host)
	}
	for side, name := range sideNames {
		for family, on := range s.Families {
			if !on {
				continue
			}
			addrs, version := fmt.Sprintf("%q", gatewayAddrs(side)[0]), s.Version
			if family == 1 {
				addrs, version = fmt.Sprintf("\"fe80::%d\", %q", side+1, gatewayAddrs(side)[1]), 3
			}
			fmt.Fprintf(&b, "\n[[vrrp]]\nname = %q\ninterface = %q\nvrid = %d\nversion = %d\naddresses = [%s]\n",
				virtualNames[side][family], name, 10+60*side, version, addrs)
			fmt.Fprintf(&b, "priority = %d\ninterval = %q\npreempt = %v\npreempt_delay = %q\ndrain = %q\nfast_detect = %v\n",
				s.Priority, s.Interval, s.Preempt, s.PreemptDelay, s.Drain, s.FastDetect)
			if version == 2 && s.Auth != "" {
				fmt.Fprintf(&b, "auth = { type = %q, key = \"lab\" }\n", s.Auth)
			}
		}
	}
	return b.String()
}
