package demo

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"time"

	"vrouter/internal/netlab"
	"vrouter/packet"
	"vrouter/vrrp"
)

// Where the lab has virtual routers: side and family, as they are named in
// the routers' configuration.
var places = [...]string{"lan4", "lan6", "wan4", "wan6"}

// change is one moment at which another router became master somewhere.
type change struct {
	at     time.Time
	place  string
	master string // "": the master gave up and nobody has spoken since
}

// watch listens on both networks for VRRP advertisements, as a host that has
// nothing to do with the routers: what it sees does not depend on what they
// say about themselves.
type watch struct {
	wires [2]*netlab.Wire
	done  sync.WaitGroup

	mu      sync.Mutex
	masters map[string]string
	changes []change
}

// newWatch starts to listen on the device eth0 of a host in the LAN and of
// one in the WAN.
func newWatch(lan, wan *netlab.Host) (*watch, error) {
	w := &watch{masters: map[string]string{}}
	for i, h := range []*netlab.Host{lan, wan} {
		wire, err := h.OpenWire("eth0")
		if err != nil {
			w.close()
			return nil, err
		}
		w.wires[i] = wire
		w.done.Add(1)
		go w.listen(wire, []string{"lan", "wan"}[i])
	}
	return w, nil
}

func (w *watch) close() {
	for _, wire := range w.wires {
		if wire != nil {
			wire.Close()
		}
	}
	w.done.Wait()
}

func (w *watch) listen(wire *netlab.Wire, side string) {
	defer w.done.Done()
	buffer := make([]byte, 2048)
	for {
		n, err := wire.Read(buffer, time.Time{})
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			// The device went down for a moment: not too fast a loop.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if family, sender, priority, ok := parseAdvertisement(buffer[:n]); ok {
			w.heard(time.Now(), side+family, sender, priority)
		}
	}
}

// parseAdvertisement takes from a frame what the watch needs of a valid VRRP
// advertisement: who sent it, by the number in its address, and the priority.
func parseAdvertisement(frame []byte) (family, sender string, priority uint8, ok bool) {
	e, ok := packet.ParseEthernet(frame)
	if !ok {
		return "", "", 0, false
	}
	var advertisement vrrp.Advertisement
	var source netip.Addr
	reason := vrrp.ReasonLength
	switch e.Type() {
	case packet.EtherTypeIPv4:
		if ip, ok := packet.ParseIPv4(e.Payload()); ok && ip.Protocol() == packet.ProtoVRRP {
			family, source = "4", ip.Src()
			advertisement, reason = vrrp.Parse(source, ip.Dst(), ip.TTL(), ip.Payload())
		}
	case packet.EtherTypeIPv6:
		if ip, ok := packet.ParseIPv6(e.Payload()); ok && ip.NextHeader() == packet.ProtoVRRP {
			family, source = "6", ip.Src()
			advertisement, reason = vrrp.Parse(source, ip.Dst(), ip.HopLimit(), ip.Payload())
		}
	}
	if reason != vrrp.ReasonNone {
		return "", "", 0, false
	}
	address := source.AsSlice()
	switch address[len(address)-1] {
	case numberR1:
		sender = "r1"
	case numberR2:
		sender = "r2"
	default:
		return "", "", 0, false
	}
	return family, sender, advertisement.Priority, true
}

// heard notes one advertisement. Priority 0 means that the sender gives up.
func (w *watch) heard(now time.Time, place, sender string, priority uint8) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if priority == 0 {
		if w.masters[place] != sender {
			return
		}
		sender = ""
	}
	if w.masters[place] != sender {
		w.masters[place] = sender
		w.changes = append(w.changes, change{now, place, sender})
	}
}

// agreed returns the router that was the last to be heard in all places, ""
// where they differ, and the time of the latest change.
func (w *watch) agreed() (master string, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.changes); n > 0 {
		since = w.changes[n-1].at
	}
	for _, place := range places {
		if w.masters[place] != w.masters[places[0]] {
			return "", since
		}
	}
	return w.masters[places[0]], since
}

// history returns the changes so far in one place.
func (w *watch) history(place string) (changes []change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.changes {
		if c.place == place {
			changes = append(changes, c)
		}
	}
	return changes
}
