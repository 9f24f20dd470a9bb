package speaker

import (
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"sync"

	"vrouter/bgp"
)

func (m *message) decode(v any) error { return json.Unmarshal(m.body, v) }

// link is the connection to a router process. What is to be sent waits in it:
// of each prefix only the newest route, so that a router that takes its time
// costs at most the memory of the whole table, and GoBGP never waits.
type link struct {
	conn  *net.UnixConn
	inbox chan message
	done  chan struct{}
	close func()

	mu      sync.Mutex
	more    *sync.Cond
	routes  map[netip.Prefix]bgp.Route
	synced  bool        // to be told once the routes before it are sent
	news    *bgp.Report // the newest that is not sent
	answers [][]byte    // whole messages
	closed  bool
}

// newLink serves a connection; when it ends, ended gets it.
func newLink(c *net.UnixConn, ended chan<- *link) *link {
	l := &link{conn: c, inbox: make(chan message), done: make(chan struct{}), routes: map[netip.Prefix]bgp.Route{}}
	l.more = sync.NewCond(&l.mu)
	l.close = sync.OnceFunc(func() {
		close(l.done)
		_ = c.Close() // it has nothing to lose
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.more.Broadcast()
	})
	go func() {
		l.read()
		select {
		case ended <- l:
		case <-l.done:
		}
	}()
	go l.write()
	return l
}

// read hands on what the router says until it ends.
func (l *link) read() {
	for {
		var h [bgp.HeaderLen]byte
		if _, err := io.ReadFull(l.conn, h[:]); err != nil {
			return
		}
		kind, n, err := bgp.ParseHeader(h)
		if err != nil {
			return
		}
		m := message{kind, make([]byte, n)}
		if _, err := io.ReadFull(l.conn, m.body); err != nil {
			return
		}
		select {
		case l.inbox <- m:
		case <-l.done:
			return
		}
	}
}

// put has routes sent.
func (l *link) put(routes []bgp.Route) {
	l.mu.Lock()
	for _, r := range routes {
		l.routes[r.Prefix] = r
	}
	l.mu.Unlock()
	l.more.Signal()
}

// sync has it told that the routes are complete, after all that were put.
func (l *link) sync() {
	l.mu.Lock()
	l.synced = true
	l.mu.Unlock()
	l.more.Signal()
}

// report has the state of the sessions sent.
func (l *link) report(r bgp.Report) {
	l.mu.Lock()
	l.news = &r
	l.mu.Unlock()
	l.more.Signal()
}

func (l *link) answer(number uint32, a bgp.Answer) {
	text, _ := json.Marshal(a) // plain data: it has a JSON
	if len(text) > bgp.BodyMax {
		text, _ = json.Marshal(bgp.Answer{Error: "the answer is too long"})
	}
	b := bgp.AppendNumbered(nil, bgp.KindAnswer, number, text)
	l.mu.Lock()
	l.answers = append(l.answers, b) // one for each question, which waits for it
	l.mu.Unlock()
	l.more.Signal()
}

// write sends what there is until the connection ends.
func (l *link) write() {
	var buffer []byte
	var batch []bgp.Route
	for {
		buffer, batch = l.next(buffer[:0], batch[:0])
		if len(buffer) == 0 {
			return
		}
		if _, err := l.conn.Write(buffer); err != nil {
			return // read sees it, too
		}
	}
}

// next waits for something to send and encodes it; nothing is the end. The
// states of sessions go before routes: a session that is lost must not be told
// after a million withdrawals.
func (l *link) next(b []byte, batch []bgp.Route) ([]byte, []bgp.Route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && l.news == nil && len(l.answers) == 0 && len(l.routes) == 0 && !l.synced {
		l.more.Wait()
	}
	if l.closed {
		return nil, batch
	}
	if l.news != nil {
		if text, _ := json.Marshal(l.news); len(text) <= bgp.BodyMax { // thousands of neighbours
			b = bgp.AppendBody(b, bgp.KindReport, text)
		}
		l.news = nil
	}
	for _, a := range l.answers {
		b = append(b, a...)
	}
	l.answers = nil
	for prefix, r := range l.routes {
		if len(batch) == bgp.RoutesMax {
			break
		}
		batch = append(batch, r)
		delete(l.routes, prefix)
	}
	if len(batch) > 0 {
		b = bgp.AppendRoutes(b, batch)
	}
	if len(l.routes) == 0 {
		if cap(batch) == bgp.RoutesMax {
			l.routes = map[netip.Prefix]bgp.Route{} // an emptied map stays as large as it was
		}
		if l.synced {
			l.synced = false
			b = bgp.AppendHeader(b, bgp.KindSynced, 0)
		}
	}
	return b, batch
}
