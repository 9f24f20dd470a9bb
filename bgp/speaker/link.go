package speaker

import (
	"encoding/json"
	"io"
	"net"
	"sync"
	"time"

	"vrouter/bgp"
)

func (m *message) decode(v any) error { return json.Unmarshal(m.body, v) }

// What is left between two messages of routes, where the second one would not be
// full: a router that is told of a thousand routes one by one has a thousand times
// the trouble. After a message of many routes it is longer: while a table loads the
// router process takes a quarter less CPU time for a route then, and one that is
// changed is in its forwarding table well within 50 ms nevertheless.
const (
	pause     = 2 * time.Millisecond
	longPause = 20 * time.Millisecond
	manyTold  = 64 // routes
)

// link is the connection to a router process.
type link struct {
	conn  *net.UnixConn
	inbox chan message
	done  chan struct{}
	close func()

	mu      sync.Mutex
	more    *sync.Cond
	table   *table      // what it is to be told of routes; nil: nothing yet
	synced  bool        // to be told once the routes up to syncAt are sent
	syncAt  uint64      // number of a route of the table's queue
	sent    int         // routes that have just been sent
	resting bool        // because of that
	news    *bgp.Report // the newest that is not sent
	answers [][]byte    // whole messages
	closed  bool
}

// newLink serves a connection; when it ends, ended gets it.
func newLink(c *net.UnixConn, ended chan<- *link) *link {
	l := &link{conn: c, inbox: make(chan message), done: make(chan struct{})}
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

// follow has the routes of a table sent.
func (l *link) follow(t *table) {
	l.mu.Lock()
	l.table = t
	l.mu.Unlock()
	l.more.Signal()
}

// wake says that the table has more.
func (l *link) wake() {
	l.mu.Lock() // so that it is not missed between the look and the wait
	defer l.mu.Unlock()
	if !l.resting {
		l.more.Signal()
	}
}

// sync has it told that the routes are complete, after all that there are now.
func (l *link) sync() {
	l.mu.Lock()
	l.synced = true
	if l.table != nil {
		_, l.syncAt = l.table.waiting()
	}
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
	batch := make([]bgp.Route, 0, bgp.RoutesMax)
	for {
		buffer = l.next(buffer[:0], batch)
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
func (l *link) next(b []byte, batch []bgp.Route) []byte {
	routes := l.wait()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	b = l.rare(b)
	t := l.table
	l.mu.Unlock()
	told := 0
	if routes > 0 {
		batch = t.take(batch, bgp.RoutesMax)
		told = len(batch)
		b = bgp.AppendRoutes(b, batch)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = told
	if l.complete() {
		l.synced = false
		b = bgp.AppendHeader(b, bgp.KindSynced, 0)
	}
	return b
}

// rare appends the state of the sessions and answers.
func (l *link) rare(b []byte) []byte {
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
	return b
}

// wait waits for something to send and returns how many routes there are.
func (l *link) wait() (routes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.table != nil {
			routes, _ = l.table.waiting()
		}
		switch {
		case l.urgent():
			return routes
		case routes >= bgp.RoutesMax || routes > 0 && l.sent == 0:
			return routes
		case l.sent > 0:
			most := pause
			if l.sent >= manyTold {
				most = longPause
			}
			l.rest(most)
		default:
			l.more.Wait()
		}
	}
}

// rest waits for the pause after routes, or for something that is not kept
// waiting by it.
func (l *link) rest(most time.Duration) {
	l.sent, l.resting = 0, true
	timer := time.AfterFunc(most, func() {
		l.mu.Lock()
		l.resting = false
		l.mu.Unlock()
		l.more.Signal()
	})
	for l.resting && !l.urgent() {
		l.more.Wait()
	}
	timer.Stop()
	l.resting = false
}

// urgent reports whether there is something to send that is no route.
func (l *link) urgent() bool {
	return l.closed || l.news != nil || len(l.answers) > 0 || l.complete()
}

// complete reports whether it is to be told now that the routes are complete.
func (l *link) complete() bool {
	return l.synced && (l.table == nil || l.table.told() >= l.syncAt)
}
