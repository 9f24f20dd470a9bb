package daemon

import (
	"context"
	"time"

	"vrouter/bgp"
	"vrouter/metrics"
	"vrouter/router"
)

// pages is the backend as the read-only pages see it.
type pages struct {
	*backend
	name     string
	version  string
	restarts uint64
}

const (
	// virtualsAtOnce bounds the virtual routers that one turn of the loop tells of:
	// some 3 us each.
	virtualsAtOnce = 16
	// statusTries is how often all virtual routers are asked, where something
	// happened meanwhile.
	statusTries = 3
	// prefixesTime is what the BGP process gets to count prefixes.
	prefixesTime = 500 * time.Millisecond
)

// Turn implements web.Source.
func (p *pages) Turn(ctx context.Context) error { return p.loop.call(ctx, func(time.Time) {}) }

// Status implements web.Source. No turn of the control loop takes long for it:
// virtual routers are asked some at a time, and all of them again where an event
// says that they may not fit together.
func (p *pages) Status(ctx context.Context) (*metrics.Status, error) {
	s := &metrics.Status{Build: metrics.ThisBuild(p.version), Router: p.name, Restarts: p.restarts}
	var err error
	for range statusTries {
		var same bool
		if same, err = p.virtualRouters(ctx, s); err != nil {
			return nil, err
		}
		if same {
			break
		}
	}
	var counts map[string]uint64
	var routes router.RouteList
	var problem string
	rest := []func(now time.Time){
		func(time.Time) { s.Interfaces = p.loop.router.Interfaces() },
		func(time.Time) { counts = p.loop.router.ControlCounters() },
		func(time.Time) { s.BGP, problem = p.loop.router.BGPSessions(); s.BFD = p.loop.router.BFDSessions() },
		func(time.Time) { s.Checks = p.loop.router.Checks(); s.Neighbors = p.loop.router.NeighborCounts() },
		func(time.Time) { routes = p.loop.router.RouteList() },
	}
	for _, part := range rest {
		if err := p.loop.call(ctx, part); err != nil {
			return nil, err
		}
	}
	s.Interfaces, s.Counters = p.withTraffic(s.Interfaces), p.withCounts(counts)
	s.Routes = routes.Count()
	if len(s.BGP) > 0 {
		s.BGP = p.prefixes(ctx, s.BGP, problem)
	}
	return s, nil
}

// virtualRouters asks for all virtual routers, and reports whether nothing has
// happened to them meanwhile.
func (p *pages) virtualRouters(ctx context.Context, s *metrics.Status) (same bool, err error) {
	s.VirtualRouters = []router.VirtualRouterStatus{}
	var began, ended uint64
	for from := 0; ; from += virtualsAtOnce {
		var some []router.VirtualRouterStatus
		err := p.loop.call(ctx, func(time.Time) {
			some, ended = p.loop.router.SomeVirtualRouters(from, virtualsAtOnce), p.loop.router.EventCount()
		})
		if err != nil {
			return false, err
		}
		if from == 0 {
			began = ended
		}
		s.VirtualRouters = append(s.VirtualRouters, some...)
		if len(some) < virtualsAtOnce {
			return began == ended, nil
		}
	}
}

// prefixes counts the prefixes of BGP neighbours, where that does not take long.
func (p *pages) prefixes(ctx context.Context, list []bgp.Session, problem string) []bgp.Session {
	ctx, cancel := context.WithTimeout(ctx, prefixesTime)
	defer cancel()
	return p.withPrefixes(ctx, list, problem)
}
