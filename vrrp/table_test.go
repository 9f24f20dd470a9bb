package vrrp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// tableRow is one or more advertisements heard in one state.
type tableRow struct {
	from    State
	edits   []func(*Config)
	adverts string // which ones: see heard
	actions string
	to      State
	down    time.Duration
	advert  time.Duration
	reason  Reason
}

func tableRows() []tableRow {
	v2, np := []func(*Config){version2}, []func(*Config){noPreempt}
	v2np := []func(*Config){version2, noPreempt}
	own, own2 := []func(*Config){owner}, []func(*Config){owner, version2}
	const all = "zero lower equal-lesser equal-greater higher"
	return []tableRow{
		{Initialize, nil, all, "", Initialize, 0, 0, ReasonNotRunning},
		{Initialize, v2, all, "", Initialize, 0, 0, ReasonNotRunning},

		// The Backup was started at 0 and hears the packet at 1 s.
		{Backup, nil, "zero", "", Backup, sec + skew100, 0, 0},
		{Backup, nil, "lower", "", Backup, down100, 0, 0},
		{Backup, nil, "equal-lesser equal-greater higher", "", Backup, sec + learned, 0, 0},
		{Backup, np, "zero", "", Backup, sec + skew100, 0, 0},
		{Backup, np, "lower equal-lesser equal-greater higher", "", Backup, sec + learned, 0, 0},
		{Backup, v2, "zero", "", Backup, sec + skew100, 0, 0},
		{Backup, v2, "lower", "", Backup, down100, 0, 0},
		{Backup, v2, "equal-lesser equal-greater higher", "", Backup, sec + down100, 0, 0},
		{Backup, v2np, "zero", "", Backup, sec + skew100, 0, 0},
		{Backup, v2np, "lower equal-lesser equal-greater higher", "", Backup, sec + down100, 0, 0},

		// The Master became it at 3.609375 s and hears the packet at 4 s.
		{Master, nil, "zero", "send 100", Master, 0, 5 * sec, 0},
		{Master, nil, "lower equal-lesser", "send 100", Master, 0, down100 + sec, 0},
		{Master, nil, "equal-greater higher", "Master>Backup", Backup, 4*sec + learned, 0, 0},
		{Master, np, "zero", "send 100", Master, 0, 5 * sec, 0},
		{Master, np, "lower equal-lesser", "send 100", Master, 0, down100 + sec, 0},
		{Master, np, "equal-greater higher", "Master>Backup", Backup, 4*sec + learned, 0, 0},
		{Master, v2, "zero", "send 100", Master, 0, 5 * sec, 0},
		{Master, v2, "lower equal-lesser", "", Master, 0, down100 + sec, 0},
		{Master, v2, "equal-greater higher", "Master>Backup", Backup, 4*sec + down100, 0, 0},
		{Master, v2np, "zero", "send 100", Master, 0, 5 * sec, 0},
		{Master, v2np, "lower equal-lesser", "", Master, 0, down100 + sec, 0},
		{Master, v2np, "equal-greater higher", "Master>Backup", Backup, 4*sec + down100, 0, 0},

		// The owner became Master at 0; its timer is due at 5 s.
		{Master, own, "zero", "send 255", Master, 0, 5 * sec, 0},
		{Master, own, "lower", "send 255", Master, 0, 5 * sec, 0},
		{Master, own, "equal-lesser equal-greater", "", Master, 0, 5 * sec, ReasonOwnerConflict},
		{Master, own2, "lower", "", Master, 0, 5 * sec, 0},
		{Master, own2, "equal-lesser equal-greater", "", Master, 0, 5 * sec, ReasonOwnerConflict},
	}
}

// TestTable is every state against every advertisement: what is done, the
// state that follows, and each timer (0: not running) after the epoch.
func TestTable(t *testing.T) {
	for _, row := range tableRows() {
		for _, name := range strings.Fields(row.adverts) {
			r := newRig(t, row.edits...)
			title := fmt.Sprintf("%v v%d priority %d preempt %v hears %s", row.from, r.m.cfg.Version, r.m.cfg.Priority, r.m.cfg.Preempt, name)
			t.Run(title, func(t *testing.T) {
				r.T = t
				r.bring(row.from)
				src, priority := r.heard(name)
				actions, reason := r.m.Receive(r.now, at(src), r.advert(priority))
				r.want(actions, row.actions)
				r.state(row.to)
				r.timer("Master_Down_Timer", r.m.timers.down, row.down)
				r.timer("Adver_Timer", r.m.timers.advert, row.advert)
				if reason != row.reason {
					t.Errorf("reason %v, want %v", reason, row.reason)
				}
			})
		}
	}
}

// TestTable_of_events is every state against everything else that can happen.
func TestTable_of_events(t *testing.T) {
	events := map[string]func(*rig) []Action{
		"start":      func(r *rig) []Action { return r.start() },
		"down":       func(r *rig) []Action { return r.m.Down(r.now, "test") },
		"stop":       func(r *rig) []Action { return r.m.Stop(r.now, "test") },
		"early":      func(r *rig) []Action { return r.m.Advance(r.now) },
		"due":        func(r *rig) []Action { r.now = r.now.Add(down100); return r.m.Advance(r.now) },
		"resume":     func(r *rig) []Action { return r.m.Resume(r.now, sec) },
		"switchover": func(r *rig) []Action { a, _ := r.m.Switchover(r.now); return a },
	}
	tests := []struct {
		from    State
		edit    func(*Config)
		event   string
		actions string
		to      State
		drains  bool
	}{
		{Initialize, prio(100), "start", "Initialize>Backup", Backup, false},
		{Initialize, owner, "start", "Initialize>Master, send 255, announce", Master, false},
		{Initialize, prio(100), "down", "", Initialize, false},
		{Initialize, prio(100), "stop", "", Initialize, false},
		{Initialize, prio(100), "early", "", Initialize, false},
		{Initialize, prio(100), "due", "", Initialize, false},
		{Initialize, prio(100), "resume", "", Initialize, false},
		{Initialize, prio(100), "switchover", "", Initialize, false},
		{Backup, prio(100), "start", "", Backup, false},
		{Backup, prio(100), "down", "Backup>Initialize", Initialize, false},
		{Backup, prio(100), "stop", "Backup>Initialize", Initialize, false},
		{Backup, prio(100), "early", "", Backup, false},
		{Backup, prio(100), "due", "Backup>Master, send 100, announce", Master, false},
		{Backup, noDrain, "due", "Backup>Master, send 100, announce", Master, false},
		{Backup, prio(100), "resume", "", Backup, false},
		{Backup, prio(100), "switchover", "", Backup, false},
		{Master, prio(100), "start", "", Master, false},
		{Master, prio(100), "down", "Master>Initialize", Initialize, false},
		{Master, prio(100), "stop", "send 0, Master>Initialize", Initialize, true},
		{Master, noDrain, "stop", "send 0, Master>Initialize", Initialize, false},
		{Master, prio(100), "early", "", Master, false},
		{Master, prio(100), "due", "send 100", Master, false},
		{Master, prio(100), "resume", "Master>Backup", Backup, false},
		{Master, owner, "resume", "Master>Backup", Backup, false},
		{Master, prio(100), "switchover", "send 0, Master>Backup", Backup, true},
		{Master, noDrain, "switchover", "send 0, Master>Backup", Backup, false},
		{Master, owner, "switchover", "", Master, false},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.from, " ", test.event), func(t *testing.T) {
			r := newRig(t, test.edit)
			r.bring(test.from)
			before := r.m.Info()
			actions := events[test.event](r)
			r.want(actions, test.actions)
			r.state(test.to)
			r.checkInfo(before, actions)
			r.forwarding(test.to == Master || test.drains)
		})
	}
}

// checkInfo compares what Info says with the actions that led there.
func (r *rig) checkInfo(before Info, actions []Action) {
	r.Helper()
	after := r.m.Info()
	want := before
	for _, a := range actions {
		switch a := a.(type) {
		case Transition:
			want.Transitions++
			want.Since, want.LastReason, want.State = a.At, a.Reason, a.To
			want.Forwarding = a.To == Master || !r.m.timers.drain.IsZero()
		case Release:
			want.Forwarding = false
		}
	}
	if after.Transitions != want.Transitions || after.Since != want.Since || after.LastReason != want.LastReason ||
		after.State != want.State || after.Forwarding != want.Forwarding {
		r.Errorf("Info is %+v, want %+v", after, want)
	}
}

// bring leads a new Machine into a state: Backup at 1 s, Master at 4 s.
func (r *rig) bring(to State) {
	r.Helper()
	switch to {
	case Backup:
		r.start()
		r.until(sec)
	case Master:
		r.asMaster()
	}
	r.state(to)
}

// heard returns source and priority of the named advertisement; the Machine is
// 192.0.2.3.
func (r *rig) heard(name string) (netip.Addr, uint8) {
	switch name {
	case "zero":
		return routerC, 0
	case "lower":
		return routerC, min(r.m.cfg.Priority-1, lesser)
	case "equal-lesser":
		return routerA, r.m.cfg.Priority
	case "equal-greater":
		return routerC, r.m.cfg.Priority
	case "higher":
		return routerA, greater
	}
	r.Fatalf("no advertisement %q", name)
	return netip.Addr{}, 0
}

func (r *rig) timer(name string, got time.Time, want time.Duration) {
	r.Helper()
	if want == 0 && !got.IsZero() {
		r.Errorf("%s runs until %v", name, got.Sub(epoch))
	}
	if want != 0 && !got.Equal(epoch.Add(want)) {
		r.Errorf("%s %v, want %v", name, got.Sub(epoch), want)
	}
}
