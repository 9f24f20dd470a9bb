package sim

import (
	"fmt"
	"strconv"
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
	Group        string        // "all": one group of all virtual routers; "family": one for each family
	Track        int           // weight of the interface of the other side; -1: not tracked
	Check        int           // weight of a health check; -1: there is none
	Route        bool          // a static route by the server, which must be resolved before preempting
	Rate         float64       // of its clock
	Late         time.Duration // bounds how late its timers fire
}

// The health check: how often it runs, and how many results in a row count.
const (
	checkInterval = 100 * time.Millisecond
	checkRow      = 2
)

// DefaultSpec returns what a router is without further words.
func DefaultSpec(name string) Spec {
	return Spec{
		Name: name, Priority: 100, Interval: time.Second, Version: 3, Families: [2]bool{true, true},
		Preempt: true, Drain: time.Second, Track: -1, Check: -1, Rate: 1,
	}
}

// set sets what a scenario's key says.
func (s *Spec) set(key, value string) (err error) {
	switch key {
	case "priority":
		s.Priority, err = strconv.Atoi(value)
	case "interval":
		s.Interval, err = time.ParseDuration(value)
	case "version":
		s.Version, err = strconv.Atoi(value)
	case "preempt":
		s.Preempt, err = strconv.ParseBool(value)
	case "preempt_delay":
		s.PreemptDelay, err = time.ParseDuration(value)
	case "drain":
		s.Drain, err = time.ParseDuration(value)
	case "fast_detect":
		s.FastDetect, err = strconv.ParseBool(value)
	case "auth":
		s.Auth = value
	case "group":
		s.Group = value
	case "track":
		s.Track, err = strconv.Atoi(value)
	case "check":
		s.Check, err = strconv.Atoi(value)
	case "route":
		s.Route, err = strconv.ParseBool(value)
	case "clock":
		s.Rate, err = strconv.ParseFloat(value, 64)
	case "late":
		s.Late, err = time.ParseDuration(value)
	default:
		err = fmt.Errorf("router has no key %s", key)
	}
	return err
}

// command is the command that adds a router of this kind.
func (s *Spec) command() string {
	c := fmt.Sprintf("router %s priority %d interval %v version %d preempt %v preempt_delay %v drain %v clock %v late %v",
		s.Name, s.Priority, s.Interval, s.Version, s.Preempt, s.PreemptDelay, s.Drain, s.Rate, s.Late)
	if s.Group != "" {
		c += " group " + s.Group
	}
	if s.Auth != "" {
		c += " auth " + s.Auth
	}
	return c + fmt.Sprintf(" fast_detect %v track %d check %d route %v", s.FastDetect, s.Track, s.Check, s.Route)
}

// config writes the router's configuration file.
func (s *Spec) config(host int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[router]\nname = %q\n", s.Name)
	for side, name := range sideNames {
		fmt.Fprintf(&b, "\n[[interface]]\nname = %q\nattach = \"af_packet\"\ndevice = \"eth%d\"\n", name, side)
		fmt.Fprintf(&b, "addresses = [\"%s%d/24\", \"%s%x/64\"]\n", prefixes4[side], host, prefixes6[side], host)
	}
	for side := range sideNames {
		for family, on := range s.Families {
			if on {
				s.virtual(&b, side, family)
			}
		}
	}
	if s.Check >= 0 {
		fmt.Fprintf(&b, "\n[[check]]\nname = \"health\"\nping = %q\ninterval = %q\ntimeout = %q\nfall = %d\nrise = %d\n",
			hostAddrs(1)[0], checkInterval, checkInterval/2, checkRow, checkRow)
	}
	if s.Route {
		fmt.Fprintf(&b, "\n[[route]]\nto = \"198.51.100.0/24\"\nvia = [%q]\n", hostAddrs(1)[0])
	}
	return b.String()
}

// virtual writes a virtual router.
func (s *Spec) virtual(b *strings.Builder, side, family int) {
	addrs, version := fmt.Sprintf("%q", gatewayAddrs(side)[0]), s.Version
	if family == 1 {
		addrs, version = fmt.Sprintf("\"fe80::%d\", %q", side+1, gatewayAddrs(side)[1]), 3
	}
	fmt.Fprintf(b, "\n[[vrrp]]\nname = %q\ninterface = %q\nvrid = %d\nversion = %d\naddresses = [%s]\n",
		virtualNames[side][family], sideNames[side], 10+60*side, version, addrs)
	fmt.Fprintf(b, "priority = %d\ninterval = %q\npreempt = %v\npreempt_delay = %q\ndrain = %q\nfast_detect = %v\n",
		s.Priority, s.Interval, s.Preempt, s.PreemptDelay, s.Drain, s.FastDetect)
	if version == 2 && s.Auth != "" {
		fmt.Fprintf(b, "auth = { type = %q, key = \"lab\" }\n", s.Auth)
	}
	if g := s.groupOf(family); g != "" {
		fmt.Fprintf(b, "group = %q\n", g)
	}
	var track []string
	if s.Track >= 0 {
		track = append(track, fmt.Sprintf("{ interface = %q, weight = %d }", sideNames[1-side], s.Track))
	}
	if s.Check >= 0 {
		track = append(track, fmt.Sprintf("{ check = \"health\", weight = %d }", s.Check))
	}
	if len(track) > 0 {
		fmt.Fprintf(b, "track = [%s]\n", strings.Join(track, ", "))
	}
}

// groupOf returns the group of the virtual routers of a family; empty: none.
func (s *Spec) groupOf(family int) string {
	if s.Group == "family" {
		return familyNames[family]
	}
	return s.Group
}
