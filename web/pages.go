package web

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vrouter/bgp"
	"vrouter/metrics"
	"vrouter/vrrp"
)

// status returns the router's, or answers that there is none.
func (w *Server) status(out http.ResponseWriter, r *http.Request) *metrics.Status {
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	s, err := w.cache.status(ctx)
	if err != nil {
		answer(out, http.StatusServiceUnavailable, "the router does not answer: "+err.Error())
		return nil
	}
	return s
}

// metrics returns the handler of /metrics. All who get the same status share its
// metrics. They are not compressed: workers want the CPUs.
func (w *Server) metrics() http.HandlerFunc {
	process := metrics.NewProcessRegistry()
	var mu sync.Mutex
	var of *metrics.Status
	var handler http.Handler
	return func(out http.ResponseWriter, r *http.Request) {
		s := w.status(out, r)
		if s == nil {
			return
		}
		mu.Lock()
		if s != of {
			of, handler = s, promhttp.HandlerFor(metrics.Gather(process, s), promhttp.HandlerOpts{DisableCompression: true})
		}
		h := handler
		mu.Unlock()
		h.ServeHTTP(out, r)
	}
}

// healthz answers whether the control loop turns. It does not ask for a status:
// that of a router without a fault may take its time.
func (w *Server) healthz(out http.ResponseWriter, r *http.Request) {
	if t := w.turned.Load(); t != nil && time.Since(*t) < turnKept {
		answer(out, http.StatusOK, "ok")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), turnTimeout)
	defer cancel()
	if err := w.source.Turn(ctx); err != nil {
		answer(out, http.StatusServiceUnavailable, "the control loop has not turned: "+err.Error())
		return
	}
	now := time.Now() // with its monotonic part: nobody can step it
	w.turned.Store(&now)
	answer(out, http.StatusOK, "ok")
}

// readyz answers whether the router does all that it is configured for, and says
// in a line for each what is missing.
func (w *Server) readyz(out http.ResponseWriter, r *http.Request) {
	s := w.status(out, r)
	if s == nil {
		return
	}
	missing := unready(s)
	if len(missing) == 0 {
		answer(out, http.StatusOK, "ready")
		return
	}
	answer(out, http.StatusServiceUnavailable, missing...)
}

// unready says in words what is missing: virtual routers that do not take part,
// and BGP neighbours whose routes are not there.
func unready(s *metrics.Status) []string {
	var lines []string
	for i := range s.VirtualRouters {
		v := &s.VirtualRouters[i]
		if v.State != vrrp.Initialize {
			continue
		}
		why := v.Obstacle
		if why == "" {
			why = v.LastReason
		}
		lines = append(lines, fmt.Sprintf("virtual router %s is in Initialize: %s", v.Name, or(why, "it has not started yet")))
	}
	for i := range s.BGP {
		n := &s.BGP[i]
		switch {
		case n.State != bgp.StateEstablished:
			lines = append(lines, fmt.Sprintf("BGP neighbor %s is in %s: %s", n.Name, or(n.State, "no state"), or(n.LastError, "no session yet")))
		case !n.EndOfRIB:
			lines = append(lines, fmt.Sprintf("BGP neighbor %s is Established and has not told all of its routes yet", n.Name))
		}
	}
	return lines
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
