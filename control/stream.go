package control

import (
	"encoding/json"
	"net/http"
	"time"
)

// stream writes lines of JSON, each within the write time limit: a reader that
// does not keep up loses its connection, and the router nothing.
type stream struct {
	server  *Server
	w       http.ResponseWriter
	started bool
}

// failure is the last line of a stream that ended before its time.
type failure struct {
	Failed *Error `json:"failed"`
}

// openStream takes one of the places for streams; done gives it back.
func (s *Server) openStream(w http.ResponseWriter) (st *stream, done func(), err error) {
	select {
	case s.streams <- struct{}{}:
	default:
		return nil, nil, &Error{
			http.StatusServiceUnavailable,
			"too many streams are open",
			"end another ping, or another program that follows events",
		}
	}
	// The read time limit of the request would otherwise end the stream.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return &stream{server: s, w: w}, func() { <-s.streams }, nil
}

// begin sends the header, so that the client knows that the stream stands.
func (st *stream) begin() error {
	if st.started {
		return nil
	}
	st.started = true
	st.w.Header().Set("Content-Type", "application/x-ndjson")
	st.w.WriteHeader(http.StatusOK)
	st.server.setWriteDeadline(st.w)
	return http.NewResponseController(st.w).Flush()
}

// send writes one line and flushes it.
func (st *stream) send(v any) error {
	if err := st.begin(); err != nil {
		return err
	}
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	st.server.setWriteDeadline(st.w)
	if _, err := st.w.Write(append(line, '\n')); err != nil {
		return err
	}
	return http.NewResponseController(st.w).Flush()
}

// finish ends the stream. A failure before the first line is left to the
// caller to answer as any other; later the header is gone, and it becomes the
// last line.
func (st *stream) finish(err error) error {
	if err == nil {
		return st.begin()
	}
	if !st.started {
		return err
	}
	// If this cannot be written either, the client is gone.
	_ = st.send(failure{toError(err)})
	return nil
}

func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) error {
	if err := checkQuery(r, "since", "follow"); err != nil {
		return err
	}
	since, err := number(r, "since")
	if err != nil {
		return err
	}
	follow, err := number(r, "follow")
	if err != nil || follow > 1 {
		return badRequest("follow is neither 0 nor 1", "follow=1")
	}
	st, done, err := s.openStream(w)
	if err != nil {
		return err
	}
	defer done()
	for {
		// No time limit of its own: this loop lives as long as its client.
		events, more, err := s.backend.Events(r.Context(), since)
		if err != nil {
			return st.finish(err)
		}
		if err := st.begin(); err != nil {
			return nil
		}
		for _, e := range events {
			if err := st.send(e); err != nil {
				return nil
			}
			since = e.Sequence
		}
		if follow == 0 {
			return nil
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return nil
		}
	}
}

func (s *Server) ping(w http.ResponseWriter, r *http.Request) error {
	request := PingRequest{Count: 5, IntervalMS: 1000, TimeoutMS: 1000, Size: 56}
	if err := readBody(w, r, &request); err != nil {
		return err
	}
	request.Address = request.Address.Unmap()
	if err := request.check(); err != nil {
		return err
	}
	st, done, err := s.openStream(w)
	if err != nil {
		return err
	}
	defer done()
	err = s.backend.Ping(r.Context(), request, func(reply PingReply) error { return st.send(reply) })
	return st.finish(err)
}
