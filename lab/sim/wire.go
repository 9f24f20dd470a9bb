package sim

import (
	"time"

	"vrouter/packet"
)

// station is what sits at the end of a link.
type station interface {
	receive(port int, frame []byte)
	linkChanged(port int, up bool)
}

// Link joins a station to a port of a switch.
type Link struct {
	w      *World
	sw     *Switch
	swPort int
	end    station
	endAt  int
	up     bool
	// lossUp and lossDown are the shares of frames that are lost toward the
	// switch and from it: 1 makes the station mute, or deaf.
	lossUp, lossDown float64
	delay            time.Duration
}

// Connect plugs a station into a switch.
func (w *World) Connect(s *Switch, end station, endPort int) *Link {
	l := &Link{w: w, sw: s, swPort: len(s.links), end: end, endAt: endPort, up: true, delay: 20 * time.Microsecond}
	s.links = append(s.links, l)
	return l
}

// send carries a frame from the station to the switch. The frame is copied.
func (l *Link) send(frame []byte) {
	l.w.record(l, 's', frame)
	if !l.up || l.w.chance(l.lossUp) {
		return
	}
	frame = append([]byte(nil), frame...)
	l.w.After(l.delay, func() {
		if l.up {
			l.sw.receive(l.swPort, frame)
		}
	})
}

// deliver carries a frame from the switch to the station.
func (l *Link) deliver(frame []byte) {
	l.w.record(l, 'd', frame)
	if !l.up || l.w.chance(l.lossDown) {
		return
	}
	l.w.After(l.delay, func() {
		if l.up {
			l.end.receive(l.endAt, append([]byte(nil), frame...))
		}
	})
}

// Set plugs the cable in or out; both ends see it.
func (l *Link) Set(up bool) {
	if l.up == up {
		return
	}
	l.up = up
	if !up {
		l.sw.forget(l.swPort)
	}
	l.end.linkChanged(l.endAt, up)
}

// Switch is an Ethernet switch that learns MACs. Its ports may be put into
// islands, each with a table of its own, between which nothing passes: that is
// a trunk cut in two, which no station's link shows.
type Switch struct {
	w      *World
	Name   string
	links  []*Link
	island map[int]int // by port; others are on island 0
	table  map[place]int
}

// place is a MAC on an island.
type place struct {
	island int
	mac    packet.MAC
}

// NewSwitch adds a switch.
func (w *World) NewSwitch(name string) *Switch {
	s := &Switch{w: w, Name: name, table: map[place]int{}, island: map[int]int{}}
	w.Switches = append(w.Switches, s)
	return s
}

// receive learns and forwards.
func (s *Switch) receive(in int, frame []byte) {
	e, ok := packet.ParseEthernet(frame)
	if !ok {
		return
	}
	here := s.island[in]
	if src := e.Src(); !src.IsMulticast() {
		s.table[place{here, src}] = in
	}
	if out, known := s.table[place{here, e.Dst()}]; known && !e.Dst().IsMulticast() {
		if out != in {
			s.links[out].deliver(frame)
		}
		return
	}
	for out, l := range s.links {
		if out != in && s.island[out] == here {
			l.deliver(frame)
		}
	}
}

// forget drops what was learned on a port.
func (s *Switch) forget(port int) {
	for at, p := range s.table {
		if p == port {
			delete(s.table, at)
		}
	}
}

// Forget drops all that was learned.
func (s *Switch) Forget() { clear(s.table) }

// Partition puts the stations behind some links on an island of their own.
// Each side forgets what it learned of the other.
func (s *Switch) Partition(links ...*Link) {
	for _, l := range links {
		s.island[l.swPort] = 1
	}
	table := map[place]int{}
	for at, p := range s.table {
		at.island = s.island[p]
		table[at] = p
	}
	s.table = table
}

// Heal undoes all partitions.
func (s *Switch) Heal() {
	for at := range s.table {
		if at.island != 0 {
			delete(s.table, at)
		}
	}
	clear(s.island)
}

// islandOf returns the island of a link.
func (s *Switch) islandOf(l *Link) int { return s.island[l.swPort] }

// island returns the island of the switch that the link leads to.
func (l *Link) island() int { return l.sw.islandOf(l) }

// portOf returns the link that a MAC was learned behind on an island, or nil.
func (s *Switch) portOf(island int, mac [6]byte) *Link {
	if p, ok := s.table[place{island, mac}]; ok {
		return s.links[p]
	}
	return nil
}
