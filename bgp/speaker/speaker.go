// Package speaker is the BGP process: one GoBGP server, which the router
// process sets up (vrouter/bgp.Setup), and whose routes and sessions it is
// told. It is the only package that imports GoBGP.
//
// It has a process of its own so that its failure, its garbage collector and
// its memory never touch forwarding; what cannot be changed in a running GoBGP
// is changed by ending: whoever has started the process starts it again.
package speaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"vrouter/bgp"
)

// alone is how long the process goes on without a router process: then nobody
// forwards what neighbours send, and they are told.
const alone = 2 * time.Second

// ErrAnew says that the process must be started anew: for a change that a
// running GoBGP does not take, or because the router has gone.
var ErrAnew = errors.New("to be started anew")

// Options say where the speaker listens for its router.
type Options struct {
	Socket string // path of a unix socket
	Log    *slog.Logger
}

// Run serves the router that connects to the socket until ctx ends, which
// ends all sessions in order. ErrAnew asks for another process.
func Run(ctx context.Context, o Options) error {
	modest(o.Log)
	listener, err := listen(o.Socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	conns := make(chan *net.UnixConn)
	go func() {
		defer close(conns)
		for {
			c, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			select {
			case conns <- c:
			case <-ctx.Done():
				_ = c.Close()
			}
		}
	}()
	s := &speaker{log: o.Log, ended: make(chan *link)}
	return s.serve(ctx, conns)
}

// listen opens the socket, for processes of the same user alone.
func listen(path string) (*net.UnixListener, error) {
	_ = os.Remove(path) // of a process that was killed
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("the BGP process' socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("the BGP process' socket: %w", err)
	}
	return l, nil
}

// speaker serves one router at a time. One goroutine owns it.
type speaker struct {
	log    *slog.Logger
	server *server // nil: not set up yet
	link   *link   // nil: no router
	ended  chan *link
}

func (s *speaker) serve(ctx context.Context, conns <-chan *net.UnixConn) error {
	defer func() {
		if s.link != nil {
			s.link.close()
		}
		if s.server != nil {
			s.server.stop()
		}
	}()
	lonely := time.NewTimer(alone)
	defer lonely.Stop()
	for {
		var inbox <-chan message
		if s.link != nil {
			inbox = s.link.inbox
		}
		select {
		case c, more := <-conns:
			if !more {
				return nil
			}
			if s.link != nil {
				s.link.close()
			}
			s.link = newLink(c, s.ended)
			lonely.Stop()
			if s.server != nil {
				s.server.attach(s.link)
			}
		case l := <-s.ended:
			if l == s.link {
				s.log.Info("the router process has ended the connection")
				l.close()
				s.link = nil
				lonely.Reset(alone)
			}
		case m := <-inbox:
			if err := s.obey(m); err != nil {
				return err
			}
		case <-lonely.C:
			if s.link == nil && s.server != nil {
				s.log.Warn("no router process: the neighbours are told")
				return ErrAnew
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// obey carries out a message of the router.
func (s *speaker) obey(m message) error {
	switch m.kind {
	case bgp.KindSetup:
		var setup bgp.Setup
		if err := m.decode(&setup); err != nil {
			s.link.close() // which ends it
			return nil
		}
		return s.configure(&setup)
	case bgp.KindQuery:
		number, rest, err := bgp.ParseNumbered(m.body)
		var q bgp.Query
		if m.body = rest; err != nil || m.decode(&q) != nil {
			s.link.close()
			return nil
		}
		s.answer(number, q)
	case bgp.KindEnd:
		return ErrAnew // which ends the sessions
	}
	return nil
}

// configure starts the server, or changes the one that runs.
func (s *speaker) configure(setup *bgp.Setup) error {
	if s.server != nil {
		return s.server.change(setup)
	}
	limitMemory(setup.Config.MemoryLimit)
	server, err := newServer(setup, s.log)
	if err != nil {
		// Nothing may be left half done in a process of which GoBGP has one.
		s.log.Error("BGP does not run", "error", err)
		s.link.report(bgp.Report{Problem: err.Error()})
		time.Sleep(retryTime)
		return ErrAnew
	}
	s.server = server
	server.attach(s.link)
	return nil
}

// retryTime is the pause before another attempt where BGP cannot be started.
const retryTime = 2 * time.Second

// answer looks something up, beside everything else.
func (s *speaker) answer(number uint32, q bgp.Query) {
	server, link := s.server, s.link
	if server == nil {
		link.answer(number, bgp.Answer{Error: "the BGP process is not set up yet"})
		return
	}
	go func() {
		var a bgp.Answer
		var err error
		switch {
		case q.Alive:
			_, err = server.gobgp.GetBgp(context.Background(), &api.GetBgpRequest{})
		case q.Neighbors:
			a.Sessions = server.counted()
		default:
			a.Paths, err = server.paths(q.Prefix)
		}
		if err != nil {
			a.Error = err.Error()
		}
		link.answer(number, a)
	}()
}

// message is one of the router's.
type message struct {
	kind bgp.Kind
	body []byte
}
