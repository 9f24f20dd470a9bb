package client

import (
	"encoding/json"
	"testing"
	"time"

	"vrouter/bgp"
)

// alive reads a question whether the process is alive, and returns its number.
func (p *fakeProcess) alive(t *testing.T) uint32 {
	t.Helper()
	kind, body := p.read(t)
	number, rest, err := bgp.ParseNumbered(body)
	var q bgp.Query
	if kind != bgp.KindQuery || err != nil || json.Unmarshal(rest, &q) != nil || !q.Alive {
		t.Fatalf("kind %d, not a question whether it is alive: %s", kind, body)
	}
	return number
}

// A process that hangs, or that somebody has stopped, keeps its connection and says
// nothing more: it is given up, what it said stays, and its successor is listened to.
func TestAProcessThatDoesNotAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	_, m, p := newImpatient(t, time.Hour, 5*time.Millisecond, 300*time.Millisecond)
	p.accept(t)
	p.say(t, bgp.AppendRoutes(nil, []bgp.Route{oneRoute("198.51.100.0/24", "203.0.113.1")}))
	m.until(t, "the route is there", func() bool { return len(m.routes) == 1 })
	p.alive(t)
	m.until(t, "it is given up", func() bool { return len(m.whys) == 1 && m.whys[0] == Hung })
	old := p.conn
	p.accept(t)
	old.Close()
	m.until(t, "its successor is connected", func() bool { return m.on && len(m.routes) == 1 })
}

// One that answers late, or that it is not set up, is alive.
func TestAProcessThatAnswersIsNotGivenUp(t *testing.T) {
	t.Parallel()
	_, m, p := newImpatient(t, time.Hour, 5*time.Millisecond, 20*time.Second)
	p.accept(t)
	for i := range 20 {
		number := p.alive(t)
		time.Sleep(time.Duration(i) * time.Millisecond)
		text := "{}"
		if i%2 == 1 {
			text = `{"Error":"the BGP process is not set up yet"}`
		}
		p.say(t, bgp.AppendNumbered(nil, bgp.KindAnswer, number, []byte(text)))
	}
	p.alive(t)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.on || len(m.whys) > 0 {
		t.Errorf("it was given up: %q", m.whys)
	}
}
