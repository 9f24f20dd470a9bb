package control

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"vrouter/router"
)

// topics are what "show" knows, in the order of its help.
var topics = []string{"vrrp", "interfaces", "routes", "neighbors", "bgp", "bfd", "checks", "counters", "events"}

// Topics returns what "show" knows.
func Topics() []string { return slices.Clone(topics) }

func (s *Server) listTopics(w http.ResponseWriter, r *http.Request) error {
	if err := checkQuery(r); err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, topics)
}

// show answers a topic. Arrays and objects are never null, so that other
// programs need no special case for an idle router.
func (s *Server) show(w http.ResponseWriter, r *http.Request) error {
	topic := r.PathValue("topic")
	if !slices.Contains(topics, topic) {
		return &Error{
			http.StatusNotFound,
			fmt.Sprintf("unknown topic %q", topic),
			"known ones: " + strings.Join(topics, ", "),
		}
	}
	var parameters []string
	switch topic {
	case "vrrp":
		parameters = []string{"name"}
	case "events":
		parameters = []string{"since"}
	case "bgp":
		parameters = []string{"prefix"}
	}
	if err := checkQuery(r, parameters...); err != nil {
		return err
	}
	answer, err := call(s, r, func(ctx context.Context) (any, error) { return s.topic(ctx, topic, r) })
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, answer)
}

func (s *Server) topic(ctx context.Context, topic string, r *http.Request) (any, error) {
	switch topic {
	case "vrrp":
		return s.showVRRP(ctx, r)
	case "interfaces":
		list, err := s.backend.Interfaces(ctx)
		list = own(list)
		for i := range list {
			list[i].Addresses = notNil(list[i].Addresses)
		}
		return list, err
	case "routes":
		list, err := s.backend.Routes(ctx)
		list = own(list)
		for i := range list {
			list[i].NextHops = notNil(list[i].NextHops)
		}
		return list, err
	case "neighbors":
		list, err := s.backend.Neighbors(ctx)
		return own(list), err
	case "counters":
		c, err := s.backend.Counters(ctx)
		return completeCounters(c), err
	case "checks":
		list, err := s.backend.Checks(ctx)
		return notNil(list), err
	case "bgp":
		return s.showBGP(ctx, r)
	case "events":
		since, err := number(r, "since")
		if err != nil {
			return nil, err
		}
		events, _, err := s.backend.Events(ctx, since)
		return notNil(events), err
	}
	list, err := s.backend.BFD(ctx) // the topic that is left
	return notNil(list), err
}

// showBGP answers with the sessions; with a prefix, with its paths.
func (s *Server) showBGP(ctx context.Context, r *http.Request) (any, error) {
	if !r.URL.Query().Has("prefix") {
		list, err := s.backend.BGP(ctx)
		list = own(list)
		for i := range list {
			list[i].Families = notNil(list[i].Families)
		}
		return list, err
	}
	text := r.URL.Query().Get("prefix")
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix != prefix.Masked() {
		return nil, badRequest(fmt.Sprintf("prefix=%s is no prefix", text), "write an address with prefix length and no bits beyond it, like 198.51.100.0/24")
	}
	list, err := s.backend.BGPPaths(ctx, prefix)
	list = own(list)
	for i := range list {
		list[i].Communities = notNil(list[i].Communities)
	}
	return list, err
}

func (s *Server) showVRRP(ctx context.Context, r *http.Request) (any, error) {
	list, err := s.backend.VRRP(ctx)
	if err != nil {
		return nil, err
	}
	if r.URL.Query().Has("name") {
		one, err := virtualRouter(list, r.URL.Query().Get("name"))
		if err != nil {
			return nil, err
		}
		list = []router.VirtualRouterStatus{one}
	}
	list = own(list)
	for i := range list {
		list[i].Addresses = notNil(list[i].Addresses)
		list[i].Terms = notNil(list[i].Terms)
		if list[i].Counters == nil {
			list[i].Counters = map[string]uint64{}
		}
	}
	return list, nil
}

// virtualRouter finds one by its name.
func virtualRouter(list []router.VirtualRouterStatus, name string) (router.VirtualRouterStatus, error) {
	names := make([]string, len(list))
	for i, v := range list {
		if v.Name == name {
			return v, nil
		}
		names[i] = v.Name
	}
	remedy := "none is configured"
	if len(names) > 0 {
		remedy = "known ones: " + strings.Join(names, ", ")
	}
	return router.VirtualRouterStatus{}, &Error{
		http.StatusNotFound, fmt.Sprintf("no virtual router %q", name), remedy,
	}
}

// number returns a query parameter that counts; 0 where it is missing.
func number(r *http.Request, name string) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest(fmt.Sprintf("%s=%s is not a number", name, text), name+" is 0 or the number of an event")
	}
	return n, nil
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// own returns a list whose elements may be changed, and never nil.
func own[T any](list []T) []T { return notNil(slices.Clone(list)) }

func completeCounters(c router.CountersStatus) router.CountersStatus {
	for _, m := range []*map[string]uint64{&c.Drops, &c.ICMP, &c.Control, &c.Forwarding} {
		if *m == nil {
			*m = map[string]uint64{}
		}
	}
	if c.Punts == nil {
		c.Punts = map[string]router.PuntStatus{}
	}
	timers := make(map[string]router.HistogramStatus, len(c.Timers))
	for name, h := range c.Timers {
		h.UpToUS, h.Counts = notNil(h.UpToUS), notNil(h.Counts)
		timers[name] = h
	}
	c.Timers = timers
	c.Workers = own(c.Workers)
	for i := range c.Workers {
		w := &c.Workers[i]
		w.BatchSizes.UpTo, w.BatchSizes.Counts = notNil(w.BatchSizes.UpTo), notNil(w.BatchSizes.Counts)
		if w.Punts == nil {
			w.Punts = map[string]router.PuntStatus{}
		}
		if w.Drops == nil {
			w.Drops = map[string]uint64{}
		}
	}
	return c
}
