package router

import (
	"fmt"
	"time"

	"vrouter/config"
)

// check is a health check as its results come in: up or down only after so many
// of one kind in a row.
type check struct {
	cfg    *config.Check
	known  bool // the first verdict has fallen
	up     bool
	row    int  // results of the same kind in a row
	ok     bool // that kind
	since  time.Time
	last   time.Time // of the last result
	detail string    // of the last result
}

// check returns a check by its name, which exists: the configuration was
// validated.
func (r *Router) check(name string) *check {
	for _, c := range r.checks {
		if c.cfg.Name == name {
			return c
		}
	}
	panic("router: check " + name + " is not configured")
}

// CheckResult tells how one run of a health check ended; detail is one clause
// for people ("timeout", "exit status 1"). A check is up or down once there were
// Rise good or Fall bad results in a row; until the first such verdict it counts
// as up, but a lesser master is not preempted (see Hold). A check that is not
// configured any more is ignored.
func (r *Router) CheckResult(now time.Time, name string, ok bool, detail string) []Action {
	r.begin(now)
	for _, c := range r.checks {
		if c.cfg.Name == name {
			r.checked(now, c, ok, detail)
		}
	}
	return r.end(now)
}

func (r *Router) checked(now time.Time, c *check, ok bool, detail string) {
	if ok != c.ok {
		c.ok, c.row = ok, 0
	}
	c.row++
	c.last, c.detail = now, detail
	need := c.cfg.Fall
	if ok {
		need = c.cfg.Rise
	}
	if c.row < need || c.known && c.up == ok {
		return
	}
	from := "unknown"
	if c.known {
		from = upDown(c.up)
	}
	c.known, c.up, c.since = true, ok, now
	r.event(now, Event{Kind: "check", Name: c.cfg.Name, From: from, To: upDown(ok), Reason: c.evidence()})
	r.unsettled = true
}

// evidence says what the verdict rests on.
func (c *check) evidence() string {
	if c.last.IsZero() {
		return "no result yet"
	}
	s := fmt.Sprintf("%d times", c.row)
	if c.row == 1 {
		s = "once"
	}
	if c.detail != "" {
		s += ": " + c.detail
	}
	return s
}

// Checks returns the state of all health checks, in the order of the
// configuration.
func (r *Router) Checks() []CheckStatus {
	list := make([]CheckStatus, 0, len(r.checks))
	for _, c := range r.checks {
		s := CheckStatus{
			Name: c.cfg.Name, State: "unknown", Since: c.since, Last: c.last, Detail: c.detail,
			OK: c.ok, Consecutive: c.row, Fall: c.cfg.Fall, Rise: c.cfg.Rise,
			IntervalMS: c.cfg.Interval.Milliseconds(), TimeoutMS: c.cfg.Timeout.Milliseconds(),
		}
		if c.known {
			s.State = upDown(c.up)
		}
		s.Kind, s.Target = describeCheck(c.cfg)
		list = append(list, s)
	}
	return list
}

func describeCheck(c *config.Check) (kind, target string) {
	switch {
	case c.Ping.IsValid():
		return "ping", c.Ping.String()
	case c.TCP.IsValid():
		return "tcp", c.TCP.String()
	}
	return "exec", c.Exec[0]
}
