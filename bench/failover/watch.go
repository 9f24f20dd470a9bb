package main

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vrouter/internal/netlab"
	"vrouter/packet"
	"vrouter/vrrp"
)

// askPeriod is the time between two questions who has the gateway's address.
const askPeriod = 20 * time.Millisecond

// spot is where a virtual router is: side and family.
type spot struct{ side, family int }

// advert is one VRRP advertisement that came out of a router.
type advert struct {
	at       int64
	router   int
	spot     spot
	priority uint8
}

// watch looks at what comes out of the four ports of the routers, at the
// switches: who advertises, and who answers for the gateway's address. It
// knows nothing of what the routers say about themselves.
type watch struct {
	taps []*netlab.Tap
	wire *netlab.Wire // of the observer
	stop atomic.Bool
	done sync.WaitGroup

	mu        sync.Mutex
	adverts   []advert
	answers   [2][]answer // by family
	questions [2][]int64
}

func newWatch(n *network) (*watch, error) {
	w := &watch{}
	var err error
	if w.wire, err = n.observer.OpenSender("eth0"); err != nil {
		return nil, err
	}
	for router, p := range n.routers {
		for side, link := range p.links {
			tap, err := link.OpenTap()
			if err != nil {
				w.close()
				return nil, err
			}
			w.taps = append(w.taps, tap)
			w.done.Add(1)
			go w.listen(tap, router, side)
		}
	}
	w.done.Add(1)
	go w.ask()
	return w, nil
}

func (w *watch) close() {
	w.stop.Store(true)
	for _, tap := range w.taps {
		tap.Close()
	}
	w.done.Wait()
	w.wire.Close()
}

// ask asks who has the gateway's addresses, again and again.
func (w *watch) ask() {
	defer w.done.Done()
	realtimeThread()
	mac := packet.MAC(w.wire.MAC)
	var frames [2][]byte
	for family, addr := range gateway {
		frames[family] = netlab.Question(mac, observer[family], addr)
	}
	ticker := time.NewTicker(askPeriod)
	defer ticker.Stop()
	for !w.stop.Load() {
		<-ticker.C
		for family, frame := range frames {
			w.mu.Lock()
			w.questions[family] = append(w.questions[family], now())
			w.mu.Unlock()
			if err := w.wire.Write(frame); err != nil {
				w.mu.Lock()
				w.questions[family] = w.questions[family][:len(w.questions[family])-1]
				w.mu.Unlock()
			}
		}
	}
}

func (w *watch) listen(tap *netlab.Tap, router, side int) {
	defer w.done.Done()
	buffer := make([]byte, 2048)
	for {
		n, at, ok := tap.Read(buffer)
		if !ok {
			return
		}
		frame, ok := packet.ParseEthernet(buffer[:n])
		if !ok {
			continue
		}
		if family, priority, ok := parseAdvert(frame); ok {
			w.mu.Lock()
			w.adverts = append(w.adverts, advert{at.UnixNano(), router, spot{side, family}, priority})
			w.mu.Unlock()
		} else if side == sideLAN && frame.Dst() == packet.MAC(w.wire.MAC) {
			w.answered(frame, router, at.UnixNano())
		}
	}
}

// answered notes a frame to the observer, if it is an answer.
func (w *watch) answered(frame packet.Ethernet, router int, at int64) {
	for family, addr := range gateway {
		isIPv4 := frame.Type() == packet.EtherTypeARP
		if isIPv4 != addr.Is4() {
			continue
		}
		if _, ok := netlab.ParseAnswer(frame, addr); ok {
			w.mu.Lock()
			w.answers[family] = append(w.answers[family], answer{at, router})
			w.mu.Unlock()
		}
	}
}

// parseAdvert takes family and priority from a frame that is a valid VRRP
// advertisement.
func parseAdvert(frame packet.Ethernet) (family int, priority uint8, ok bool) {
	var source, destination netip.Addr
	var ttl uint8
	var payload []byte
	switch frame.Type() {
	case packet.EtherTypeIPv4:
		ip, ok := packet.ParseIPv4(frame.Payload())
		if !ok || ip.Protocol() != packet.ProtoVRRP {
			return 0, 0, false
		}
		source, destination, ttl, payload = ip.Src(), ip.Dst(), ip.TTL(), ip.Payload()
	case packet.EtherTypeIPv6:
		ip, ok := packet.ParseIPv6(frame.Payload())
		if !ok || ip.NextHeader() != packet.ProtoVRRP {
			return 0, 0, false
		}
		family, source, destination, ttl, payload = 1, ip.Src(), ip.Dst(), ip.HopLimit(), ip.Payload()
	default:
		return 0, 0, false
	}
	a, reason := vrrp.Parse(source, destination, ttl, payload)
	return family, a.Priority, reason == vrrp.ReasonNone
}

// errNobody says that nobody advertises in a place.
var errNobody = errors.New("somewhere nobody advertises")

// errSeveral says that the routers do not agree who is master.
var errSeveral = errors.New("not one router alone advertises everywhere")

// master returns the router that alone has advertised in all four places for
// a time before a moment; each place must have been heard in that time.
func (w *watch) master(at int64, steady time.Duration) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return soleMaster(w.adverts, at-int64(steady), at)
}

// soleMaster is master on a list of advertisements in order of time; each tap
// writes its own, so that they may be out of order by a little.
func soleMaster(adverts []advert, from, to int64) (int, error) {
	heard := map[spot]bool{}
	router := -1
	const disorder = int64(time.Second)
	for i := len(adverts) - 1; i >= 0 && adverts[i].at >= from-disorder; i-- {
		a := adverts[i]
		if a.at < from || a.at > to {
			continue
		}
		if a.priority == 0 || router >= 0 && a.router != router {
			return 0, errSeveral
		}
		router = a.router
		heard[a.spot] = true
	}
	if len(heard) < numSides*2 {
		return 0, errNobody
	}
	return router, nil
}

// owners sums up who answered the questions of a part of the run.
func (w *watch) owners(from, to int64) (total ownership) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for family := range gateway {
		var questions []int64
		for i := len(w.questions[family]) - 1; i >= 0 && w.questions[family][i] >= from; i-- {
			if w.questions[family][i] < to {
				questions = append(questions, w.questions[family][i])
			}
		}
		slices.Reverse(questions)
		var answers []answer
		for _, a := range w.answers[family] {
			if a.at >= from && a.at < to {
				answers = append(answers, a)
			}
		}
		slices.SortFunc(answers, func(a, b answer) int { return cmp.Compare(a.at, b.at) })
		total = total.add(owners(questions, answers, askPeriod))
	}
	return total
}

// forget drops what was seen before a time.
func (w *watch) forget(before int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.adverts = slices.DeleteFunc(w.adverts, func(a advert) bool { return a.at < before })
	for family := range gateway {
		w.answers[family] = slices.DeleteFunc(w.answers[family], func(a answer) bool { return a.at < before })
		w.questions[family] = slices.DeleteFunc(w.questions[family], func(at int64) bool { return at < before })
	}
}

// speaks reports whether a router has advertised in all four places for a
// time before a moment, and not given up, whoever else did.
func (w *watch) speaks(router int, at int64, steady time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	var own []advert
	for _, a := range w.adverts {
		if a.router == router && a.at >= at-int64(steady) {
			own = append(own, a)
		}
	}
	_, err := soleMaster(own, at-int64(steady), at)
	return err == nil
}

// taken returns when a router first advertised, after a time, in the last of
// the four places, and false where it has not done so in all.
func (w *watch) taken(router int, from int64) (at int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := map[spot]int64{}
	for _, a := range w.adverts {
		if a.router == router && a.at >= from && a.priority > 0 && first[a.spot] == 0 {
			first[a.spot] = a.at
			at = max(at, a.at)
		}
	}
	return at, len(first) == numSides*2
}
