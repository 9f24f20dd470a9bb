package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"vrouter/control"
	"vrouter/guardian"
	"vrouter/web"
)

// webEnd serves the read-only pages where [control] listen says, in the network
// namespace of the process: the host's own sockets, not the router's addresses.
type webEnd struct {
	log    *slog.Logger
	source func() web.Source // once everything is open

	mu       sync.Mutex
	server   *web.Server // nil: not running
	at       netip.AddrPort
	listener net.Listener // nil: at is the zero value
}

// openWeb listens. It comes before the ports: an address that is taken must not
// cost anybody a packet.
func (d *process) openWeb() error {
	d.web.log = d.log
	d.web.source = func() web.Source { return &pages{d.backend(), d.cfg.Router.Name, d.version, guardian.Restarts()} }
	at := d.cfg.Control.Listen
	if !at.IsValid() {
		return nil
	}
	l, err := listenWeb(at)
	if err != nil {
		return err
	}
	d.web.at, d.web.listener = at, l
	d.later(d.web.end)
	return nil
}

// listenWeb opens the address. Its errors are *control.Error.
func listenWeb(at netip.AddrPort) (net.Listener, error) {
	l, err := net.Listen("tcp", at.String())
	if err == nil {
		return l, nil
	}
	e := &control.Error{
		Status: http.StatusUnprocessableEntity, Message: fmt.Sprintf("control.listen %v: %v", at, reason(err)),
		Remedy: "set control.listen to an address of this host and a free port",
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Remedy = "another program (another vrouter?) listens there: stop it, or set control.listen to another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Remedy = "set control.listen to an address that this host's kernel has: the router's own addresses are not among them"
	case errors.Is(err, syscall.EACCES):
		e.Remedy = "set control.listen to a port from 1024 on, or grant CAP_NET_BIND_SERVICE"
	}
	return nil, e
}

// reason leaves out what net says before the cause.
func reason(err error) error {
	var e *net.OpError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// serve begins to answer.
func (w *webEnd) serve() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server = web.NewServer(w.source(), w.log)
	if w.listener != nil {
		w.run(w.listener, w.at)
	}
}

// run answers the connections of a listener until it is closed.
func (w *webEnd) run(l net.Listener, at netip.AddrPort) {
	server := w.server
	go func() {
		if err := server.Serve(l); err != nil {
			w.log.Error("the pages at control.listen have ended", "listen", at, "error", err)
		}
	}()
	w.log.Info("dashboard and metrics", "url", "http://"+at.String()+"/")
}

// end closes the listener and ends what is running.
func (w *webEnd) end() {
	w.mu.Lock()
	server, l := w.server, w.listener
	w.server, w.listener = nil, nil
	w.mu.Unlock()
	if l != nil {
		_ = l.Close() // the server may have closed it
	}
	if server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // who is late is cut off
	}
}

// change is another address that is listened on already. Exactly one of commit
// and undo is called.
type change struct{ commit, undo func() }

// prepare opens another address, so that a configuration with a bad one can be
// refused before anything of it is applied. The old one is still served, except
// where both are of the same port: then the old one must make room first.
func (w *webEnd) prepare(at netip.AddrPort) (change, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at == w.at {
		return change{func() {}, func() {}}, nil
	}
	if !at.IsValid() {
		return change{func() { w.replace(at, nil) }, func() {}}, nil
	}
	l, err := listenWeb(at)
	if err == nil {
		return change{func() { w.replace(at, l) }, func() { _ = l.Close() }}, nil
	}
	if w.listener == nil || w.at.Port() != at.Port() {
		return change{}, err
	}
	_ = w.listener.Close()
	if l, err = listenWeb(at); err != nil {
		w.restore()
		return change{}, err
	}
	undo := func() {
		_ = l.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.restore()
	}
	return change{func() { w.replace(at, l) }, undo}, nil
}

// replace serves another address, or none, instead of the one before.
func (w *webEnd) replace(at netip.AddrPort, l net.Listener) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.listener
	w.at, w.listener = at, l
	switch {
	case w.server == nil && l != nil: // the process ends
		_ = l.Close()
		w.listener = nil
	case l != nil:
		w.run(l, at)
	}
	if old != nil {
		_ = old.Close() // it may have made room already
	}
}

// restore opens the address of the running configuration again.
func (w *webEnd) restore() {
	l, err := listenWeb(w.at)
	if err != nil { // somebody was quicker
		w.log.Error("the pages at control.listen have ended", "listen", w.at, "error", err)
		w.listener = nil
		return
	}
	w.listener = l
	if w.server != nil {
		w.run(l, w.at)
	}
}
