package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"vrouter/bgp"
	"vrouter/router"
)

// answerTimeout is how long a client waits for the router to begin its answer:
// longer than the router's own limit, so that its explanation arrives.
const answerTimeout = 2*callTimeout + time.Second

// maxAnswerBytes bounds what a client takes; a million routes fit.
const maxAnswerBytes = 1 << 30

// Client talks to the control socket of a running vrouter. Its errors are
// *Error: what the router answered, or why there is no answer, with a remedy.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the router that listens on the unix socket of
// that path. It connects with the first request.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket, &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// VirtualRouter is a virtual router as a client reads it: State is the text
// of the answer.
type VirtualRouter struct {
	router.VirtualRouterStatus
	State string `json:"state"`
}

// Show returns a topic's JSON as the router wrote it. The parameters may be
// nil.
func (c *Client) Show(ctx context.Context, topic string, parameters url.Values) (json.RawMessage, error) {
	path := "/v1/show/" + url.PathEscape(topic)
	if len(parameters) > 0 {
		path += "?" + parameters.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	body, err := c.open(ctx, "GET", path, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	answer, err := io.ReadAll(io.LimitReader(body, maxAnswerBytes))
	if err != nil {
		return nil, c.explain(err)
	}
	if !json.Valid(answer) {
		return nil, c.foreign()
	}
	return answer, nil
}

// show returns a topic as a value.
func show[T any](ctx context.Context, c *Client, topic string, parameters url.Values) (T, error) {
	var v T
	text, err := c.Show(ctx, topic, parameters)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, c.foreign()
	}
	return v, nil
}

// VRRP returns the virtual routers; with a name only that one.
func (c *Client) VRRP(ctx context.Context, name string) ([]VirtualRouter, error) {
	var parameters url.Values
	if name != "" {
		parameters = url.Values{"name": {name}}
	}
	return show[[]VirtualRouter](ctx, c, "vrrp", parameters)
}

// Interfaces returns the interfaces.
func (c *Client) Interfaces(ctx context.Context) ([]router.InterfaceStatus, error) {
	return show[[]router.InterfaceStatus](ctx, c, "interfaces", nil)
}

// Routes returns the best route of each prefix.
func (c *Client) Routes(ctx context.Context) ([]router.RouteStatus, error) {
	return show[[]router.RouteStatus](ctx, c, "routes", nil)
}

// Neighbors returns the neighbour cache.
func (c *Client) Neighbors(ctx context.Context) ([]router.NeighborStatus, error) {
	return show[[]router.NeighborStatus](ctx, c, "neighbors", nil)
}

// Counters returns all counters.
func (c *Client) Counters(ctx context.Context) (router.CountersStatus, error) {
	return show[router.CountersStatus](ctx, c, "counters", nil)
}

// Events returns the kept events numbered above since, oldest first.
func (c *Client) Events(ctx context.Context, since uint64) ([]router.Event, error) {
	return show[[]router.Event](ctx, c, "events", url.Values{"since": {strconv.FormatUint(since, 10)}})
}

// FollowEvents calls each for every event above since, those to come included,
// until ctx ends (then it returns nil), each returns an error (which it
// returns), or the router goes away.
func (c *Client) FollowEvents(ctx context.Context, since uint64, each func(router.Event) error) error {
	path := "/v1/events?follow=1&since=" + strconv.FormatUint(since, 10)
	err := lines(ctx, c, "GET", path, nil, each)
	if err == nil && ctx.Err() == nil {
		return &Error{
			Message: "the router has closed the stream of events",
			Remedy:  "it was stopped, or this program read too slowly",
		}
	}
	return err
}

// Ping has the router send echo requests and calls each with what became of
// every one. It returns nil when all are done or ctx ends.
func (c *Client) Ping(ctx context.Context, request PingRequest, each func(PingReply) error) error {
	return lines(ctx, c, "POST", "/v1/ping", request, each)
}

// Switchover makes the Master of a virtual router hand over in order.
func (c *Client) Switchover(ctx context.Context, name string) error {
	return c.do(ctx, "/v1/switchover", map[string]string{"name": name})
}

// Checks returns the health checks.
func (c *Client) Checks(ctx context.Context) ([]router.CheckStatus, error) {
	return show[[]router.CheckStatus](ctx, c, "checks", nil)
}

// BFD returns the BFD sessions.
func (c *Client) BFD(ctx context.Context) ([]router.BFDSession, error) {
	return show[[]router.BFDSession](ctx, c, "bfd", nil)
}

// BGP returns the sessions with BGP neighbours.
func (c *Client) BGP(ctx context.Context) ([]bgp.Session, error) {
	return show[[]bgp.Session](ctx, c, "bgp", nil)
}

// BGPPaths returns the paths of a prefix, the best first.
func (c *Client) BGPPaths(ctx context.Context, prefix string) ([]bgp.Path, error) {
	return show[[]bgp.Path](ctx, c, "bgp", url.Values{"prefix": {prefix}})
}

// Drain makes all virtual routers hand over and stay away from mastership; with
// on false it ends that.
func (c *Client) Drain(ctx context.Context, on bool) error {
	return c.do(ctx, "/v1/drain", map[string]bool{"end": !on})
}

// Reload makes the router read its configuration file again.
func (c *Client) Reload(ctx context.Context) error { return c.do(ctx, "/v1/reload", nil) }

// do posts a request whose answer is success or an error.
func (c *Client) do(ctx context.Context, path string, request any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	body, err := c.open(ctx, "POST", path, request)
	if err != nil {
		return err
	}
	return body.Close()
}

// lines reads a stream of JSON lines.
func lines[T any](ctx context.Context, c *Client, method, path string, request any, each func(T) error) error {
	body, err := c.open(ctx, method, path, request)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer body.Close()
	for r := bufio.NewReader(body); ; {
		line, err := r.ReadBytes('\n')
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case err != nil: // what there is of the line is a torn one
			return c.explain(err)
		}
		var failed failure
		if json.Unmarshal(line, &failed) == nil && failed.Failed != nil {
			return failed.Failed
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return c.foreign()
		}
		if err := each(v); err != nil {
			return err
		}
	}
}

// open sends a request and returns the body of a successful answer.
func (c *Client) open(ctx context.Context, method, path string, request any) (io.ReadCloser, error) {
	var content io.Reader
	if request != nil {
		text, err := json.Marshal(request)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://vrouter"+path, content)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, c.explain(err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	e := &Error{Status: response.StatusCode}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil || json.Unmarshal(text, e) != nil || e.Message == "" {
		return nil, c.foreign()
	}
	return nil, e
}

// foreign is the answer of something that is not a vrouter of this version.
func (c *Client) foreign() *Error {
	return &Error{
		Message: fmt.Sprintf("what listens on %s does not speak vrouter's control API", c.socket),
		Remedy:  "name the socket of a vrouter with -s, and use the same version of the program",
	}
}

// explain says why there is no answer.
func (c *Client) explain(err error) error {
	const start = `start one with "vrouter run -c FILE", or name the socket of a running one with -s SOCKET`
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Message: fmt.Sprintf("no vrouter is running: there is no socket %s", c.socket), Remedy: start}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Message: fmt.Sprintf("no vrouter is running: nobody listens on %s", c.socket), Remedy: start}
	case errors.Is(err, fs.ErrPermission):
		return &Error{
			Message: fmt.Sprintf("permission denied on %s", c.socket),
			Remedy:  "run this as root, or as a member of the group that the socket belongs to",
		}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{
			Message: fmt.Sprintf("the vrouter on %s does not answer", c.socket),
			Remedy:  "is its process stopped, or short of CPU time?",
		}
	case errors.Is(err, context.Canceled):
		return &Error{Message: "interrupted"}
	}
	return &Error{
		Message: fmt.Sprintf("the vrouter on %s broke off its answer: %v", c.socket, err),
		Remedy:  "look into its log; was it stopped just now?",
	}
}
