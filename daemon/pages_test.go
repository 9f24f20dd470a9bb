package daemon

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"vrouter/metrics"
	"vrouter/vrrp"
)

// manyVirtuals is a router with n virtual routers, 250 on an interface.
func manyVirtuals(n int) string {
	var b strings.Builder
	for k := range (n + 249) / 250 {
		fmt.Fprintf(&b, "[[interface]]\nname = \"lan%d\"\ndevice = \"eth%d\"\naddresses = [\"10.%d.0.1/16\"]\n", k, k, k)
	}
	for i := range n {
		k, vrid := i/250, i%250+1
		fmt.Fprintf(&b, "[[vrrp]]\nname = \"v%d\"\ninterface = \"lan%d\"\nvrid = %d\naddresses = [\"10.%d.1.%d\"]\ninterval = \"40s\"\n", i, k, vrid, k, vrid)
	}
	return b.String()
}

// TestStatusIsOfOneMoment: the interface goes down between the first virtual
// routers and the rest, so all of them are asked again.
func TestStatusIsOfOneMoment(t *testing.T) {
	const n = 3*virtualsAtOnce + 5
	r := started(t, manyVirtuals(n))
	l := r.process.loop
	p := &pages{backend: r.process.backend(), name: "r1"}
	answer := make(chan *metrics.Status, 1)
	go func() {
		s, err := p.Status(t.Context())
		if err != nil {
			t.Error(err)
		}
		answer <- s
	}()
	for calls := 1; ; calls++ {
		select {
		case f := <-l.requests:
			now, _ := l.clock.now()
			f(now)
			if calls == 2 {
				r.ports[0].SetUp(false)
				l.driver.carryOut(l.router.PortChanged(now, 0, r.process.portState(0)))
			}
			continue
		case s := <-answer:
			checkMoment(t, s, n, calls)
		case <-time.After(15 * time.Second):
			t.Fatal("no status")
		}
		return
	}
}

func checkMoment(t *testing.T, s *metrics.Status, n, calls int) {
	t.Helper()
	if s == nil || len(s.VirtualRouters) != n {
		t.Fatalf("the status is %+v", s)
	}
	for i := range s.VirtualRouters {
		v := &s.VirtualRouters[i]
		if v.Name != fmt.Sprint("v", i) || v.State != vrrp.Initialize {
			t.Errorf("number %d is %s, in %v", i, v.Name, v.State)
		}
	}
	// Four turns for the virtual routers, twice, and a few for the rest.
	if calls < 8 || calls > 20 {
		t.Errorf("the loop was asked %d times", calls)
	}
	if len(s.Routes) == 0 || s.Router != "r1" || len(s.Interfaces) != 1 || len(s.Counters.Drops) == 0 {
		t.Errorf("the rest is %+v", s)
	}
}

// TestAStatusThatTheLoopDoesNotGiveEnds: nobody drives the loop.
func TestAStatusThatTheLoopDoesNotGiveEnds(t *testing.T) {
	r := started(t, onLAN)
	p := &pages{backend: r.process.backend()}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if s, err := p.Status(ctx); err == nil {
		t.Errorf("it is %+v", s)
	}
	if err := p.Turn(ctx); err == nil {
		t.Error("the loop has turned")
	}
}

// TestScrapesWhileTheStateChanges: whatever is scraped while mastership comes and
// goes, each virtual router is in exactly one state, and counters never go back.
func TestScrapesWhileTheStateChanges(t *testing.T) {
	at := freeAddress(t)
	r := newRig(t, listening(at)).start()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for up := false; ; up = !up {
			select {
			case <-stop:
				return
			case <-time.After(250 * time.Millisecond):
				r.ports[0].SetUp(up)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	scrapes, last, seen := 0, 0.0, map[string]bool{}
	limit := time.Now().Add(20 * time.Second)
	for scrapes < 8 || len(seen) < 2 || last < 4 {
		if time.Now().After(limit) {
			t.Fatalf("%d scrapes saw %v and %v transitions", scrapes, seen, last)
		}
		status, text := get(t, at+"/metrics")
		if status != http.StatusOK {
			continue // before it has begun
		}
		scrapes++
		in := []string{}
		for _, state := range []string{"Initialize", "Backup", "Master"} {
			if series(text, fmt.Sprintf(`vrouter_vrrp_state{state=%q,virtual_router="gw"}`, state)) == "1" {
				in = append(in, state)
				seen[state] = true
			}
		}
		var transitions float64
		_, err := fmt.Sscan(series(text, `vrouter_vrrp_transitions_total{virtual_router="gw"}`), &transitions)
		if len(in) != 1 || err != nil || transitions < last {
			t.Fatalf("in %v after %v transitions, before it were %v (%v)", in, transitions, last, err)
		}
		last = transitions
	}
}

// BenchmarkScrape500 is what a scrape of 500 virtual routers costs: the whole,
// the longest turn of the control loop meanwhile, and the size.
func BenchmarkScrape500(b *testing.B) {
	r := newRig(b, manyVirtuals(500)).start()
	p := &pages{backend: r.process.backend(), name: "r1"}
	await(b, "running", func() bool { return p.Turn(b.Context()) == nil })
	time.Sleep(time.Second) // all have started
	r.process.loop.longest.Store(0)
	for b.Loop() {
		if _, err := p.Status(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(r.process.loop.longest.Load())/1e3, "us-longest-turn")
}
