// Package client is the router process' way to the BGP process: it connects to
// it, tells it what should be, and hands on what it tells. It outlives the BGP
// process: what that had chosen stays until its successor has said what holds
// now, or until a limit has passed.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"vrouter/bgp"
)

// Sink takes what the BGP process tells. Its methods are called by one
// goroutine, one at a time; while one of them waits, nothing more is read from
// the BGP process, which keeps only the newest of each prefix.
type Sink interface {
	// Routes takes changed routes, at most bgp.RoutesMax. The slice is used again.
	Routes(routes []bgp.Route)
	// Report takes the state of the sessions.
	Report(r bgp.Report)
	// Connected says whether the BGP process can be talked to; why not, else.
	Connected(on bool, why string)
	// Synced says that the routes are complete.
	Synced()
}

// redial is the pause between two attempts to connect.
const redial = 50 * time.Millisecond

// answerTime is how long a Query is waited for beyond what its caller does.
const answerTime = 30 * time.Second

// Client talks to the BGP process. New makes one.
type Client struct {
	socket string
	log    *slog.Logger
	sink   Sink
	cancel context.CancelFunc
	done   chan struct{}

	every, patience time.Duration // how it is asked whether it is alive

	mu     sync.Mutex
	setup  *bgp.Setup
	conn   *net.UnixConn // nil: not connected
	number uint32        // of the last query
	asked  map[uint32]chan bgp.Answer
	outbox chan []byte // whole messages; nil: not connected
}

// New returns a Client that connects as soon as Set was called, again and
// again until Close.
func New(socket string, log *slog.Logger, sink Sink) *Client {
	return start(socket, log, sink, aliveEvery, aliveLimit)
}

func start(socket string, log *slog.Logger, sink Sink, every, patience time.Duration) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		socket: socket, log: log, sink: sink, cancel: cancel, every: every, patience: patience,
		done: make(chan struct{}), asked: map[uint32]chan bgp.Answer{},
	}
	go c.run(ctx)
	return c
}

// Close says goodbye, so that the neighbours are told at once, and ends the
// connection.
func (c *Client) Close() {
	c.mu.Lock()
	if c.conn != nil {
		_ = c.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.conn.Write(bgp.AppendHeader(nil, bgp.KindEnd, 0)) // else it sees the end of the connection
	}
	c.mu.Unlock()
	c.cancel()
	<-c.done
}

// Set tells the BGP process what should be; it never blocks. The newest counts.
func (c *Client) Set(s *bgp.Setup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setup = s
	c.tell()
}

// tell sends the setup, where there is a connection.
func (c *Client) tell() {
	if c.outbox == nil || c.setup == nil {
		return
	}
	text, err := json.Marshal(c.setup)
	if err == nil && len(text) > bgp.BodyMax {
		err = errors.New("the configuration of BGP is too long")
	}
	if err != nil {
		c.log.Error("the BGP process is not told its setup", "error", err)
		return
	}
	c.post(bgp.AppendBody(nil, bgp.KindSetup, text))
}

// post sends a message; a BGP process that takes none any more loses the
// connection, and is told everything when it comes again.
func (c *Client) post(b []byte) {
	select {
	case c.outbox <- b:
	default:
		c.log.Warn("the BGP process does not read: connecting anew")
		_ = c.conn.Close()
	}
}

// ErrNotConnected says that there is no BGP process to ask now.
var ErrNotConnected = errors.New("the BGP process is not running; it is being started again")

// Ask asks the BGP process and waits for the answer.
func (c *Client) Ask(ctx context.Context, q bgp.Query) (bgp.Answer, error) {
	c.mu.Lock()
	if c.outbox == nil {
		c.mu.Unlock()
		return bgp.Answer{}, ErrNotConnected
	}
	c.number++
	number, answer := c.number, make(chan bgp.Answer, 1)
	text, _ := json.Marshal(q) // plain data: it has a JSON
	c.asked[number] = answer
	c.post(bgp.AppendNumbered(nil, bgp.KindQuery, number, text))
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.asked, number)
		c.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	select {
	case a, ok := <-answer:
		if !ok {
			return bgp.Answer{}, ErrNotConnected
		}
		if a.Error != "" {
			return a, errors.New(a.Error)
		}
		return a, nil
	case <-ctx.Done():
		return bgp.Answer{}, ctx.Err()
	}
}

// connected takes a new connection into use.
func (c *Client) connected(conn *net.UnixConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.outbox = conn, make(chan []byte, 64)
	go write(conn, c.outbox)
	c.tell()
}

func write(conn *net.UnixConn, outbox <-chan []byte) {
	for b := range outbox {
		if _, err := conn.Write(b); err != nil {
			_ = conn.Close() // the reader sees it
		}
	}
}

// disconnected gives up a connection; who waits for an answer gets none.
func (c *Client) disconnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.Close()
	close(c.outbox)
	c.conn, c.outbox = nil, nil
	for number, answer := range c.asked {
		close(answer)
		delete(c.asked, number)
	}
}

// answered hands an answer to who has asked.
func (c *Client) answered(body []byte) error {
	number, rest, err := bgp.ParseNumbered(body)
	if err != nil {
		return err
	}
	var a bgp.Answer
	if err := json.Unmarshal(rest, &a); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiting := c.asked[number]; waiting != nil {
		waiting <- a // there is room for one, and no number comes twice
		delete(c.asked, number)
	}
	return nil
}

// stay is how long routes stay without the BGP process.
func (c *Client) stay() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.setup == nil {
		return 0
	}
	return c.setup.Config.RestartTime
}
