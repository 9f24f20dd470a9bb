package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sort"
	"strings"
	"time"
)

// Limits that keep a careless client from holding anything of the router.
const (
	callTimeout    = 2 * time.Second // of one call of the backend
	readTimeout    = 5 * time.Second // of a whole request
	writeTimeout   = 5 * time.Second // of an answer, or of one line of a stream
	idleTimeout    = 30 * time.Second
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	maxConnections = 128
	maxStreams     = 16
)

// Server answers the control API from a Backend. It is an http.Handler; Serve
// adds the limits on connections.
//
//	GET  /v1/show                the topics
//	GET  /v1/show/TOPIC          an array (counters: an object); vrrp takes ?name=NAME, events ?since=N
//	GET  /v1/events?since=N      events as lines of JSON; with &follow=1 also those to come
//	POST /v1/switchover          {"name": NAME}
//	POST /v1/ping                PingRequest; answers lines of PingReply
//	POST /v1/reload              where the backend is a Reloader
//	POST /v1/drain               where the backend is a Drainer; {"end": true} ends the drain
//
// A failure is {"error": ..., "remedy": ...} with a status from 400 on; within
// a stream that has begun it is a last line {"failed": {"error": ...}}.
type Server struct {
	backend      Backend
	mux          *http.ServeMux
	http         *http.Server
	paths        []string
	streams      chan struct{} // one token for each running stream
	stop         context.CancelFunc
	callTimeout  time.Duration
	writeTimeout time.Duration
}

// NewServer returns a server that answers from b.
func NewServer(b Backend) *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{
		backend:      b,
		mux:          http.NewServeMux(),
		streams:      make(chan struct{}, maxStreams),
		stop:         stop,
		callTimeout:  callTimeout,
		writeTimeout: writeTimeout,
	}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	s.handle("GET", "/v1/show", s.listTopics)
	s.handle("GET", "/v1/show/{topic}", s.show)
	s.handle("GET", "/v1/events", s.streamEvents)
	s.handle("POST", "/v1/switchover", s.switchover)
	s.handle("POST", "/v1/ping", s.ping)
	if r, ok := b.(Reloader); ok {
		s.handle("POST", "/v1/reload", s.action(r.Reload))
	}
	if d, ok := b.(Drainer); ok {
		s.handle("POST", "/v1/drain", s.drain(d))
	}
	s.mux.HandleFunc("/", s.unknownPath)
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.RequestURI == "*" { // which the mux would answer in words of its own
		s.unknownPath(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Serve answers the connections of l until Shutdown, and returns nil then.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(LimitListener(l, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown closes the listener, ends the streams and waits for running
// requests, at most until ctx ends. Then it closes their connections.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// handle registers the one method that a path knows.
func (s *Server) handle(method, path string, f func(http.ResponseWriter, *http.Request) error) {
	s.paths = append(s.paths, method+" "+path)
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		err := wrongMethod(w, r, method)
		if err == nil {
			err = f(w, r)
		}
		if err != nil {
			s.writeError(w, toError(err))
		}
	})
}

func wrongMethod(w http.ResponseWriter, r *http.Request, method string) error {
	if r.Method == method || (method == "GET" && r.Method == "HEAD") {
		return nil
	}
	w.Header().Set("Allow", method)
	return &Error{
		http.StatusMethodNotAllowed,
		fmt.Sprintf("%s %s: method not allowed", r.Method, r.URL.Path),
		"use " + method,
	}
}

func (s *Server) unknownPath(w http.ResponseWriter, r *http.Request) {
	s.writeError(w, &Error{
		http.StatusNotFound,
		fmt.Sprintf("unknown path %q", r.URL.Path),
		"known ones: " + strings.Join(s.paths, ", "),
	})
}

// call runs one call of the backend within its time limit.
func call[T any](s *Server, r *http.Request, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.callTimeout)
	defer cancel()
	return f(ctx)
}

// action answers a request without parameters whose success has no content.
func (s *Server) action(f func(context.Context) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		_, err := call(s, r, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
		if err != nil {
			return err
		}
		return s.writeJSON(w, http.StatusOK, struct{}{})
	}
}

// switchover checks the name here, so that every backend refuses an unknown
// one in the same words.
func (s *Server) switchover(w http.ResponseWriter, r *http.Request) error {
	var request struct {
		Name string `json:"name"`
	}
	if err := readBody(w, r, &request); err != nil {
		return err
	}
	routers, err := call(s, r, s.backend.VRRP)
	if err != nil {
		return err
	}
	if _, err := virtualRouter(routers, request.Name); err != nil {
		return err
	}
	return s.action(func(ctx context.Context) error {
		return s.backend.Switchover(ctx, request.Name)
	})(w, r)
}

// drain begins a drain, or ends it.
func (s *Server) drain(d Drainer) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var request struct {
			End bool `json:"end"`
		}
		if r.ContentLength != 0 { // without a body it begins
			if err := readBody(w, r, &request); err != nil {
				return err
			}
		}
		return s.action(func(ctx context.Context) error { return d.Drain(ctx, !request.End) })(w, r)
	}
}

// readBody parses a body of one JSON object without unknown fields.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &Error{
			http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the request is larger than %d bytes", maxBodyBytes), "",
		}
	case errors.Is(err, io.EOF):
		return badRequest("the request has no body", "send one JSON object")
	case err != nil:
		return badRequest("the request is not what is expected here: "+err.Error(), "send one JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the request goes on behind its JSON object", "send one JSON object")
	}
	return nil
}

// checkQuery refuses parameters that the path does not know.
func checkQuery(r *http.Request, known ...string) error {
	var unknown []string
	for name := range r.URL.Query() {
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	sort.Strings(unknown)
	remedy := "this path takes none"
	if len(known) > 0 {
		remedy = "known ones: " + strings.Join(known, ", ")
	}
	return badRequest("unknown parameter "+strings.Join(unknown, ", "), remedy)
}

func (s *Server) writeError(w http.ResponseWriter, e *Error) {
	// The answer is an error already; when it cannot be written, the client
	// is gone.
	_ = s.writeJSON(w, e.Status, e)
}

func (s *Server) writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.setWriteDeadline(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		slog.Debug("control: answer not delivered", "error", err)
	}
	return nil
}

// setWriteDeadline gives the client its time to take the next bytes. A writer
// without deadlines is a recorder of a test.
func (s *Server) setWriteDeadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.writeTimeout))
}
