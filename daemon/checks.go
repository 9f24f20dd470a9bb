package daemon

import (
	"context"
	"time"

	"vrouter/check"
)

// resultsAtOnce bounds the results of checks that one turn of the loop takes.
const resultsAtOnce = 16

// checks runs the health checks and hands their results to the loop.
type checks struct {
	*check.Runner
	results chan check.Result
	done    chan struct{}
}

// openChecks makes what runs the health checks; run starts them.
func (d *process) openChecks() error {
	p := &prober{stack: d.local.stack, ports: &d.ports, egress: egress(&d.snapshot), host: d.local.host}
	c := &checks{results: make(chan check.Result), done: make(chan struct{})}
	// A check that reports waits until the loop has taken the result: however
	// many there are, and however fast, the loop has its own pace.
	c.Runner = check.New(p.probes(d.programs), func(r check.Result) { c.results <- r })
	d.checks = c
	go c.hand(d.loop)
	d.later(func() {
		c.Close()
		close(c.results)
		<-c.done
	})
	return nil
}

// hand gives results to the loop, as many at a time as there are.
func (c *checks) hand(l *loop) {
	defer close(c.done)
	for r := range c.results {
		batch := c.batch(r)
		// Where the loop has ended nobody wants to know any more.
		_ = l.call(context.Background(), func(now time.Time) {
			for _, r := range batch {
				l.driver.carryOut(l.router.CheckResult(now, r.Name, r.OK, r.Detail))
			}
		})
	}
}

// batch collects what else is there.
func (c *checks) batch(first check.Result) []check.Result {
	batch := []check.Result{first}
	for len(batch) < resultsAtOnce {
		select {
		case r, more := <-c.results:
			if !more {
				return batch
			}
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}
