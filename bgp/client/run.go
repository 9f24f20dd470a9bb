package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/gaissmai/bart"

	"vrouter/bgp"
)

// table is what the router has been told: each prefix with the connection that
// told it, so that what a new BGP process no longer knows can be taken back.
type table struct {
	prefixes bart.Table[uint8]
	now      uint8 // this connection
	stale    bool  // there may be prefixes of connections before
	most     int   // prefixes that are taken
}

// prefixesMost is four times the Internet.
const prefixesMost = 5_000_000

// note takes note of routes before they are handed on. More prefixes than there
// can be are told by none but a BGP process that somebody else has taken over.
func (t *table) note(routes []bgp.Route) error {
	for i := range routes {
		if len(routes[i].Hops) == 0 {
			t.prefixes.Delete(routes[i].Prefix)
		} else {
			t.prefixes.Insert(routes[i].Prefix, t.now)
		}
	}
	if t.prefixes.Size() > t.most {
		return fmt.Errorf("%w: more than %d prefixes", bgp.ErrMessage, t.most)
	}
	return nil
}

// withdraw takes prefixes back from the router by: all that are of another
// connection.
func (t *table) withdraw(by func([]bgp.Route)) (n int) {
	if !t.stale {
		return 0
	}
	t.stale = false
	var gone []netip.Prefix
	for prefix, of := range t.prefixes.All() {
		if of != t.now {
			gone = append(gone, prefix)
		}
	}
	batch := make([]bgp.Route, 0, bgp.RoutesMax)
	for i, prefix := range gone {
		t.prefixes.Delete(prefix)
		batch = append(batch, bgp.Route{Prefix: prefix})
		if len(batch) == cap(batch) || i == len(gone)-1 {
			by(batch)
			batch = batch[:0]
		}
	}
	return len(gone)
}

// received is a message of the BGP process.
type received struct {
	kind bgp.Kind
	body []byte
	err  error // it is none
}

// Why the connection to a BGP process was ended in place of which there must be
// another one.
const (
	Nonsense = "the BGP process sent nonsense" // its memory is somebody else's, or spoilt
	Hung     = "the BGP process does not answer"
)

// While it hangs, neighbours give up their sessions one by one, and the router goes
// on by what they said before that.
const (
	aliveEvery = 5 * time.Second
	aliveLimit = 15 * time.Second // with a million routes to choose from it may be slow
)

// run connects, serves the connection to its end, and connects again.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	t := table{most: prefixesMost}
	expiry := time.NewTimer(time.Hour)
	expiry.Stop()
	defer expiry.Stop()
	for {
		conn := c.dial(ctx, &t, expiry)
		if conn == nil {
			return
		}
		t.now++
		c.connected(conn)
		c.sink.Connected(true, "")
		why := c.serve(ctx, conn, &t, expiry)
		c.disconnected()
		if ctx.Err() != nil {
			return
		}
		if t.prefixes.Size() > 0 && !t.stale {
			expiry.Reset(c.stay())
		}
		t.stale = t.stale || t.prefixes.Size() > 0
		c.sink.Connected(false, why)
	}
}

// dial tries until it is connected or ctx ends (nil).
func (c *Client) dial(ctx context.Context, t *table, expiry *time.Timer) *net.UnixConn {
	again := time.NewTicker(redial)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-expiry.C:
			t.now++
			c.expired(t)
		case <-again.C:
			conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: c.socket, Net: "unix"})
			if err == nil {
				return conn
			}
		}
	}
}

func (c *Client) expired(t *table) {
	if n := t.withdraw(c.sink.Routes); n > 0 {
		c.log.Warn("stale BGP routes are withdrawn: nobody has confirmed them in time", "routes", n)
	}
}

// serve hands on what the BGP process tells until the connection ends, and
// returns why.
func (c *Client) serve(ctx context.Context, conn *net.UnixConn, t *table, expiry *time.Timer) string {
	messages, done := make(chan received), make(chan struct{})
	defer close(done)
	go read(conn, messages, done)
	hung := make(chan struct{})
	go c.watch(ctx, done, hung)
	var routes []bgp.Route
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-expiry.C:
			c.expired(t)
		case <-hung:
			c.log.Error(Hung, "for", c.patience)
			return Hung
		case m, more := <-messages:
			if !more {
				return "the BGP process has ended"
			}
			var err error
			if routes, err = c.take(m, t, routes[:0]); err != nil {
				c.log.Error("the BGP process sends nonsense", "error", err)
				_ = conn.SetWriteDeadline(time.Now().Add(redial))
				_, _ = conn.Write(bgp.AppendHeader(nil, bgp.KindEnd, 0)) // where it still listens
				return Nonsense
			}
		}
	}
}

// watch asks the BGP process now and then whether it is there, and closes hung
// when it does not answer.
func (c *Client) watch(ctx context.Context, done <-chan struct{}, hung chan<- struct{}) {
	again := time.NewTicker(c.every)
	defer again.Stop()
	for {
		select {
		case <-done:
			return
		case <-again.C:
		}
		limited, cancel := context.WithTimeout(ctx, c.patience)
		_, err := c.Ask(limited, bgp.Query{Alive: true})
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			close(hung)
			return
		}
	}
}

// read hands over whole messages until the connection ends.
func read(conn *net.UnixConn, messages chan<- received, done <-chan struct{}) {
	defer close(messages)
	for {
		var h [bgp.HeaderLen]byte
		if _, err := io.ReadFull(conn, h[:]); err != nil {
			return
		}
		kind, n, err := bgp.ParseHeader(h)
		m := received{kind: kind, err: err}
		if err == nil {
			m.body = make([]byte, n)
			if _, err := io.ReadFull(conn, m.body); err != nil {
				return
			}
		}
		select {
		case messages <- m:
		case <-done:
			return
		}
	}
}

// take hands on one message.
func (c *Client) take(m received, t *table, routes []bgp.Route) ([]bgp.Route, error) {
	if m.err != nil {
		return nil, m.err
	}
	switch m.kind {
	case bgp.KindRoutes:
		routes, err := bgp.ParseRoutes(m.body, routes)
		if err != nil {
			return nil, err
		}
		if err := t.note(routes); err != nil {
			return nil, err
		}
		c.sink.Routes(routes)
		return routes, nil
	case bgp.KindReport:
		var r bgp.Report
		if err := json.Unmarshal(m.body, &r); err != nil {
			return nil, err
		}
		c.sink.Report(r)
	case bgp.KindSynced:
		if n := t.withdraw(c.sink.Routes); n > 0 {
			c.log.Info("BGP routes that nobody has announced again are withdrawn", "routes", n)
		}
		c.sink.Synced()
	case bgp.KindAnswer:
		return routes, c.answered(m.body)
	default:
		return nil, bgp.ErrMessage
	}
	return routes, nil
}
