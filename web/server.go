// Package web is what a running router tells by HTTP where [control] listen asks
// for it: a dashboard at /, /metrics for Prometheus, /healthz and /readyz. All of
// it is read-only. However many clients ask, and however often, the router is
// asked a few times a second at most.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"vrouter/control"
	"vrouter/metrics"
	"vrouter/router"
)

// Limits that keep clients, who may be anybody, from costing the router much.
const (
	statusTimeout  = 2 * time.Second // to get a status from the router
	turnTimeout    = time.Second     // for the control loop to turn once
	readTimeout    = 5 * time.Second // of a whole request
	writeTimeout   = 15 * time.Second
	idleTimeout    = 60 * time.Second
	maxHeaderBytes = 8 << 10
	maxConnections = 64
	maxRequests    = 8                     // that are answered, or wait for that, at a time
	maxHealth      = 4                     // the same for /healthz, which slow readers of long pages must not hold up
	turnKept       = 50 * time.Millisecond // a turn answers for this long: strangers cannot have the loop turn all the time
)

// Source is the router, as the pages need it. Calls come from many goroutines;
// what they return is not changed afterwards.
type Source interface {
	// Status returns everything that is shown, of one moment.
	Status(ctx context.Context) (*metrics.Status, error)

	// Events returns the events with a sequence number above since, oldest first.
	Events(ctx context.Context, since uint64) ([]router.Event, <-chan struct{}, error)

	// Turn returns nil once the control loop has turned.
	Turn(ctx context.Context) error
}

// Server answers from a Source. It is an http.Handler; Serve adds the limits on
// connections.
type Server struct {
	source Source
	log    *slog.Logger
	cache  cache
	slots  chan struct{}             // one token for each request that is answered
	turned atomic.Pointer[time.Time] // when the control loop has last, for /healthz
	mux    *http.ServeMux
	http   *http.Server
	now    func() time.Time
}

// NewServer returns a server that answers from s.
func NewServer(s Source, log *slog.Logger) *Server {
	w := &Server{
		source: s, log: log, slots: make(chan struct{}, maxRequests),
		mux: http.NewServeMux(), now: time.Now,
	}
	w.cache.init(s.Status)
	w.handle("/{$}", w.slots, w.dashboard)
	w.handle("/metrics", w.slots, w.metrics())
	w.handle("/readyz", w.slots, w.readyz)
	w.handle("/healthz", make(chan struct{}, maxHealth), w.healthz)
	w.mux.HandleFunc("/", unknown)
	w.http = &http.Server{
		Handler:           w,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// Strangers may send nonsense; that is no reason to fill the log.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return w
}

// Serve answers the connections of l until it is closed or Shutdown is called,
// and returns nil then. It may be called for several listeners.
func (w *Server) Serve(l net.Listener) error {
	err := w.http.Serve(control.LimitListener(l, maxConnections))
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Shutdown closes the listeners and waits for running requests, at most until ctx
// ends. Then it closes their connections.
func (w *Server) Shutdown(ctx context.Context) error {
	if err := w.http.Shutdown(ctx); err != nil {
		return w.http.Close()
	}
	return nil
}

// handle registers a page, of whose requests so many are answered at a time as
// slots has room for.
func (w *Server) handle(path string, slots chan struct{}, page http.HandlerFunc) {
	w.mux.HandleFunc(path, func(out http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			out.Header().Set("Retry-After", "1")
			answer(out, http.StatusServiceUnavailable, "too many requests at once; ask again in a second")
			return
		}
		page(out, r)
	})
}

// ServeHTTP answers one request.
func (w *Server) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	h := out.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		answer(out, http.StatusMethodNotAllowed, r.Method+" is not allowed: these pages are read-only; use GET")
	case !sameSite(r):
		answer(out, http.StatusMisdirectedRequest,
			fmt.Sprintf("a host %q is not known at a loopback address; use the address, or localhost", r.Host))
	case r.RequestURI == "*":
		unknown(out, r)
	default:
		w.mux.ServeHTTP(out, r)
	}
}

// sameSite keeps web pages of others from reading these through the browser of an
// operator: at a loopback address the host of the URL is that address or
// localhost, never a name that somebody has pointed there (DNS rebinding).
func sameSite(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true // a recorder of a test
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" || strings.EqualFold(host, "localhost") {
		return true
	}
	_, err = netip.ParseAddr(host)
	return err == nil
}

func unknown(out http.ResponseWriter, _ *http.Request) {
	answer(out, http.StatusNotFound, "there is /, /metrics, /healthz and /readyz")
}

// answer answers with lines of text.
func answer(out http.ResponseWriter, status int, lines ...string) {
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out.WriteHeader(status)
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
}
