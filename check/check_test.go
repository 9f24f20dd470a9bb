package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vrouter/config"
	"vrouter/program"
)

// journal keeps what was reported.
type journal struct {
	mu      sync.Mutex
	results []Result
	times   []time.Time
}

func (j *journal) report(r Result) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.results = append(j.results, r)
	j.times = append(j.times, time.Now())
}

func (j *journal) all() []Result {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Result(nil), j.results...)
}

var target = netip.MustParseAddr("203.0.113.1")

func ping(name string, interval, timeout time.Duration) config.Check {
	return config.Check{Name: name, Ping: target, Interval: interval, Timeout: timeout, Fall: 3, Rise: 2}
}

// answering is a ping that is answered after a time.
func answering(after time.Duration) func(context.Context, netip.Addr) (time.Duration, error) {
	return func(ctx context.Context, _ netip.Addr) (time.Duration, error) {
		select {
		case <-time.After(after):
			return after, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func TestEachProbeIsReportedAtItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := New(Probes{Ping: answering(312 * time.Microsecond)}, j.report)
		r.Set([]config.Check{ping("gw", time.Second, 500*time.Millisecond)})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.Close()
		if len(j.results) != 10 {
			t.Errorf("%d results in 10 intervals", len(j.results))
		}
		for i, got := range j.results {
			if got != (Result{"gw", true, "312us"}) {
				t.Errorf("%+v", got)
			}
			if i > 0 && j.times[i].Sub(j.times[i-1]) != time.Second {
				t.Errorf("%v from one to the next", j.times[i].Sub(j.times[i-1]))
			}
		}
		time.Sleep(time.Minute)
		if len(j.results) != 10 {
			t.Error("reported after Close")
		}
	})
}

func TestFailuresSayWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("connection refused")
		for _, test := range []struct {
			check  config.Check
			probes Probes
			want   Result
		}{
			{
				ping("dns", time.Second, 500*time.Millisecond),
				Probes{Ping: answering(time.Hour)},
				Result{"dns", false, "timeout after 500ms"},
			},
			{
				config.Check{Name: "web", TCP: netip.AddrPortFrom(target, 80), Interval: time.Second, Timeout: time.Second},
				Probes{Connect: func(context.Context, netip.AddrPort) (time.Duration, error) { return 0, refused }},
				Result{"web", false, "connection refused"},
			},
			{
				config.Check{Name: "web", TCP: netip.AddrPortFrom(target, 80), Interval: time.Second, Timeout: time.Second},
				Probes{Connect: func(_ context.Context, a netip.AddrPort) (time.Duration, error) {
					return time.Duration(a.Port()) * time.Millisecond, nil
				}},
				Result{"web", true, "80ms"},
			},
			{exec("x", "false"), runs(program.Result{Err: errors.New("exit status 1")}), Result{"x", false, "exit status 1"}},
			{exec("x", "false"), runs(program.Result{Err: errors.New("exit status 1"), Output: "no disk"}), Result{"x", false, "exit status 1: no disk"}},
			{exec("x", "true"), runs(program.Result{Output: "all is well"}), Result{"x", true, "all is well"}},
		} {
			var j journal
			r := New(test.probes, j.report)
			r.Set([]config.Check{test.check})
			time.Sleep(1900 * time.Millisecond)
			r.Close()
			if len(j.results) == 0 || j.results[0] != test.want {
				t.Errorf("%+v, want %+v", j.results, test.want)
			}
		}
	})
}

func exec(name string, args ...string) config.Check {
	return config.Check{Name: name, Exec: args, Interval: time.Second, Timeout: time.Second}
}

func runs(r program.Result) Probes {
	return Probes{Run: func(_ context.Context, c program.Command) program.Result {
		if c.KeepChildren || c.Timeout != time.Second || strings.Join(c.Env, " ") != "VROUTER_CHECK=x" {
			return program.Result{Err: fmt.Errorf("wrong command %+v", c)}
		}
		return r
	}}
}

func TestNeverTwoProbesOfOneCheckAndNothingIsCaughtUpWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, runs atomic.Int32
		slow := func(context.Context, netip.Addr) (time.Duration, error) {
			most.Store(max(most.Load(), now.Add(1)))
			runs.Add(1)
			time.Sleep(2500 * time.Millisecond) // whatever its context says
			now.Add(-1)
			return 0, nil
		}
		var j journal
		r := New(Probes{Ping: slow}, j.report)
		r.Set([]config.Check{ping("gw", time.Second, time.Second)})
		time.Sleep(26 * time.Second)
		r.Close()
		if most.Load() != 1 {
			t.Errorf("%d probes at once", most.Load())
		}
		if n := runs.Load(); n < 9 || n > 11 {
			t.Errorf("%d probes of 2.5 s in 26 s", n)
		}
	})
}

func TestSlowReaderHoldsUpOnlyTheCheckThatReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var quick atomic.Int32
		r := New(Probes{Ping: answering(time.Millisecond)}, func(got Result) {
			if got.Name == "slow" {
				time.Sleep(time.Minute)
				return
			}
			quick.Add(1)
		})
		r.Set([]config.Check{ping("slow", time.Second, time.Second), ping("quick", time.Second, time.Second)})
		time.Sleep(30 * time.Second)
		if n := quick.Load(); n != 30 {
			t.Errorf("%d reports of the other check in 30 intervals", n)
		}
		r.Close()
	})
}

func TestSetLeavesAloneWhatStaysAndEndsWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := New(Probes{Ping: answering(0)}, j.report)
		stays, changes, goes := ping("stays", time.Second, time.Second), ping("changes", time.Second, time.Second), ping("goes", time.Second, time.Second)
		r.Set([]config.Check{stays, changes, goes})
		time.Sleep(4 * time.Second)
		changes.Interval = 100 * time.Millisecond
		before := r.running["stays"]
		r.Set([]config.Check{changes, stays})
		if r.running["stays"] != before {
			t.Error("a check that has not changed was started anew")
		}
		j.mu.Lock()
		j.results = nil
		j.mu.Unlock()
		time.Sleep(4 * time.Second)
		count := map[string]int{}
		for _, one := range j.all() {
			count[one.Name]++
		}
		if count["stays"] != 4 || count["changes"] < 39 || count["goes"] != 0 {
			t.Errorf("%v", count)
		}
		r.Close()
		r.Set([]config.Check{stays})
		if len(r.running) != 0 {
			t.Error("a closed Runner runs checks")
		}
	})
}

func TestProgramThatCannotBeKilledFailsWithoutASecondOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		var started atomic.Int32
		run := func(context.Context, program.Command) program.Result {
			if started.Add(1) > 1 {
				return program.Result{Output: "fine"}
			}
			time.Sleep(time.Second)
			return program.Result{Err: errors.New("timeout"), Lingers: held}
		}
		var j journal
		r := New(Probes{Run: run}, j.report)
		r.Set([]config.Check{exec("x", "/bin/x")})
		time.Sleep(10 * time.Second)
		if n := len(j.all()); n < 8 || started.Load() != 1 {
			t.Errorf("%d failures reported, %d programs started", n, started.Load())
		}
		close(held)
		time.Sleep(3 * time.Second)
		all := j.all()
		if last := all[len(all)-1]; !last.OK || last.Detail != "fine" {
			t.Errorf("when it is gone: %+v", last)
		}
		r.Close()
	})
}

func TestHundredsOfChecksKeepTheirPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		count := func(context.Context, netip.Addr) (time.Duration, error) { n.Add(1); return 0, nil }
		var checks []config.Check
		for i := range 300 {
			checks = append(checks, ping(fmt.Sprint(i), 10*time.Millisecond, 10*time.Millisecond))
		}
		r := New(Probes{Ping: count}, func(Result) {})
		r.Set(checks)
		time.Sleep(time.Second)
		r.Close()
		if most := int32(time.Second/paceGap) + 300; n.Load() > most || n.Load() < most/2 {
			t.Errorf("%d probes in a second, want about 10,000", n.Load())
		}
	})
}

func TestRealProgramsAreForkedOnceForEachProbe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runs")
	l := program.NewLauncher()
	defer l.Close()
	var j journal
	r := New(Probes{Run: l.Run}, j.report)
	c := exec("disk", "/bin/sh", "-c", `echo "$VROUTER_CHECK" >>`+file+`; echo ok`)
	c.Interval, c.Timeout = 20*time.Millisecond, 15*time.Second
	r.Set([]config.Check{c})
	for end := time.Now().Add(15 * time.Second); len(j.all()) < 5 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	r.Close()
	content, err := os.ReadFile(file)
	runs, reports := strings.Count(string(content), "disk\n"), len(j.all())
	// The last one may have been ended by Close, reported or not.
	if err != nil || reports < 5 || runs < reports || runs > reports+1 {
		t.Errorf("%d runs, %d reports (%v)", runs, reports, err)
	}
	for _, one := range j.all() {
		if one != (Result{"disk", true, "ok"}) {
			t.Errorf("%+v", one)
		}
	}
}
