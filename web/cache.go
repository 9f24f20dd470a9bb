package web

import (
	"context"
	"sync"
	"time"

	"vrouter/metrics"
)

// A status is used again for at least leastAge and for costFactor times as long
// as it took to make: so making them takes a small share of the time at most,
// whatever clients do. Nobody sees one that is older than mostAge.
const (
	leastAge   = 200 * time.Millisecond
	mostAge    = 5 * time.Second
	costFactor = 10
)

// cache makes one status at a time and hands it to everybody who asks for one
// meanwhile and shortly afterwards.
type cache struct {
	get func(context.Context) (*metrics.Status, error)
	now func() time.Time

	mu   sync.Mutex
	last *metrics.Status
	took time.Duration
	made time.Time     // when last was
	busy chan struct{} // closed when the one in the making is there; nil: none is
	err  error         // of the last try
}

func (c *cache) init(get func(context.Context) (*metrics.Status, error)) {
	c.get, c.now = get, time.Now
}

// fresh reports whether the last status is still good enough.
func (c *cache) fresh() bool {
	keep := min(max(leastAge, costFactor*c.took), mostAge)
	return c.last != nil && c.now().Sub(c.made) < keep
}

// status returns a status that was made after the call, or shortly before.
func (c *cache) status(ctx context.Context) (*metrics.Status, error) {
	c.mu.Lock()
	if c.fresh() {
		defer c.mu.Unlock()
		return c.last, nil
	}
	busy := c.busy
	if busy == nil {
		busy = make(chan struct{})
		c.busy = busy
		go c.make(busy)
	}
	c.mu.Unlock()
	select {
	case <-busy:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.last, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// make makes a status, for whoever waits: it outlives the one who asked first.
func (c *cache) make(busy chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	began := c.now()
	s, err := c.get(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.err = s, err
	if err != nil {
		c.last = nil
	}
	c.made = c.now()
	c.took = c.made.Sub(began)
	c.busy = nil
	close(busy)
}
