package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vrouter/config"
	"vrouter/program"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// journal is a launcher that notes what it is to run.
type journal struct {
	mu     sync.Mutex
	lines  []string // "PROGRAM NAME SEQUENCE"
	now    int
	most   int
	takes  time.Duration
	result program.Result
}

func variable(c program.Command, name string) string {
	for _, e := range c.Env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return "(not set)"
}

func (j *journal) run(ctx context.Context, c program.Command) program.Result {
	j.mu.Lock()
	j.lines = append(j.lines, c.Args[0]+" "+variable(c, "VROUTER_NAME")+" "+variable(c, "VROUTER_SEQUENCE"))
	j.now++
	j.most = max(j.most, j.now)
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		j.now--
		j.mu.Unlock()
	}()
	select {
	case <-time.After(min(j.takes, c.Timeout)):
		return j.result
	case <-ctx.Done():
		return program.Result{Err: ctx.Err()}
	}
}

// peak returns how many ran at once at most.
func (j *journal) peak() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.most
}

// of returns the lines about one virtual router.
func (j *journal) of(name string) (list []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if strings.Fields(line)[1] == name {
			list = append(list, line)
		}
	}
	return list
}

func hooks(programs ...string) (list []config.Notify) {
	for _, p := range programs {
		list = append(list, config.Notify{Exec: []string{p}, Timeout: 10 * time.Second})
	}
	return list
}

func TestHooksRunInOrderForEachAndSideBySideForDifferentOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{takes: time.Second}
		r := New(j.run, silent)
		r.Set(hooks("a", "b"))
		for i := range 6 {
			r.Add(Change{Name: fmt.Sprint("vr", i%2), Sequence: uint64(i)})
		}
		time.Sleep(6*time.Second + time.Millisecond)
		synctest.Wait()
		for name, want := range map[string]string{
			"vr0": "a vr0 0,b vr0 0,a vr0 2,b vr0 2,a vr0 4,b vr0 4",
			"vr1": "a vr1 1,b vr1 1,a vr1 3,b vr1 3,a vr1 5,b vr1 5",
		} {
			if got := strings.Join(j.of(name), ","); got != want {
				t.Errorf("%s: %s", name, got)
			}
		}
		if most := j.peak(); most != 2 || r.Counts() != (Counts{Run: 12}) {
			t.Errorf("%d at once, %+v", most, r.Counts())
		}
		if len(r.waiting) != 0 {
			t.Error("a goroutine is left")
		}
		if err := r.Close(time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestAddNeverBlocksAndTheNewestIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{takes: time.Hour}
		r := New(j.run, silent)
		r.Set([]config.Notify{{Exec: []string{"a"}, Timeout: time.Second}})
		began := time.Now()
		for i := range 1000 {
			r.Add(Change{Name: "vr", Sequence: uint64(i)})
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Add took %v", took)
		}
		time.Sleep(5 * time.Minute)
		lines := j.of("vr")
		if got := r.Counts(); got.Run+got.Dropped != 1000 || got.Run != uint64(len(lines)) || got.Run > maxWaiting+1 || got.Run < maxWaiting {
			t.Errorf("%+v", got)
		}
		if last := lines[len(lines)-1]; last != "a vr 999" {
			t.Errorf("the last one run was %q", last)
		}
		if !slices.IsSortedFunc(lines, func(a, b string) int {
			var x, y int
			_, _ = fmt.Sscanf(a, "a vr %d", &x)
			_, _ = fmt.Sscanf(b, "a vr %d", &y)
			return x - y
		}) {
			t.Errorf("out of order: %v", lines)
		}
		_ = r.Close(0)
	})
}

func TestNotAllOfManyVirtualRoutersRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{takes: time.Second}
		r := New(j.run, silent)
		r.Set(hooks("a"))
		for i := range 500 {
			r.Add(Change{Name: fmt.Sprint("vr", i)})
		}
		time.Sleep(9 * time.Second)
		if most := j.peak(); most != maxAtOnce || r.Counts().Run != 500 {
			t.Errorf("%d at once, %+v", most, r.Counts())
		}
		_ = r.Close(0)
	})
}

func TestCloseGivesTheLastHooksTheirTimeAndNoMore(t *testing.T) {
	for _, test := range []struct {
		takes time.Duration
		ended bool
	}{{900 * time.Millisecond, true}, {time.Hour, false}} {
		synctest.Test(t, func(t *testing.T) {
			j := &journal{takes: test.takes}
			r := New(j.run, silent)
			r.Set([]config.Notify{{Exec: []string{"a"}, Timeout: 2 * time.Hour}})
			for range 3 {
				r.Add(Change{Name: "vr"})
			}
			began := time.Now()
			err := r.Close(5 * time.Second)
			took := time.Since(began)
			if test.ended && (err != nil || took != 3*test.takes || r.Counts() != (Counts{Run: 3})) {
				t.Errorf("%v after %v: %+v", err, took, r.Counts())
			}
			if !test.ended && (err == nil || took != 5*time.Second || r.Counts().Dropped != 2) {
				t.Errorf("%v after %v: %+v", err, took, r.Counts())
			}
			before := r.Counts().Dropped
			r.Add(Change{Name: "vr"})
			if len(r.waiting) != 0 || r.Counts().Dropped != before+1 {
				t.Error("a change was taken after the end")
			}
		})
	}
}

func TestWithoutHooksNothingIsDone(t *testing.T) {
	r := New((&journal{}).run, silent)
	r.Add(Change{Name: "vr"})
	if len(r.waiting) != 0 || r.Counts() != (Counts{}) {
		t.Errorf("%+v", r.Counts())
	}
	if err := r.Close(time.Hour); err != nil {
		t.Error(err)
	}
}

func TestFailureIsLoggedAndTheNextRunsAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		j := &journal{result: program.Result{Err: errors.New("exit status 1"), Output: "no such route"}}
		r := New(j.run, slog.New(slog.NewTextHandler(&log, nil)))
		r.Set(hooks("a", "b"))
		r.Add(Change{Name: "lan4", To: "Master", Sequence: 7})
		if err := r.Close(time.Second); err != nil {
			t.Error(err)
		}
		if r.Counts() != (Counts{Run: 2, Failed: 2}) {
			t.Errorf("%+v", r.Counts())
		}
		for _, want := range []string{"name=lan4", "to=Master", "event=7", "program=a", "program=b", `error="exit status 1"`, `output="no such route"`, "level=WARN"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not say %s:\n%s", want, log.String())
			}
		}
	})
}

func TestRealHookIsToldTheChangeByItsEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	l := program.NewLauncher()
	defer l.Close()
	r := New(l.Run, silent, "VROUTER_SOCKET=/run/s", "VROUTER_ROUTER=r1")
	r.Set([]config.Notify{{Exec: []string{"/bin/sh", "-c", "env | grep ^VROUTER_ | sort >" + file}, Timeout: 15 * time.Second}})
	r.Add(Change{
		Event: "vrrp", Name: "lan4", From: "Backup", To: "Master", Reason: "no advertisement\x00 for\n361 ms", Interface: "lan",
		Family: "ipv4", Group: "gw", VRID: 10, Priority: 150, Sequence: 42, Time: time.Date(2026, 3, 14, 9, 26, 53, 589e6, time.UTC),
	})
	if err := r.Close(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	want := "VROUTER_EVENT=vrrp\nVROUTER_FAMILY=ipv4\nVROUTER_FROM=Backup\nVROUTER_GROUP=gw\nVROUTER_INTERFACE=lan\n" +
		"VROUTER_NAME=lan4\nVROUTER_PRIORITY=150\nVROUTER_REASON=no advertisement? for\nVROUTER_ROUTER=r1\n" +
		"VROUTER_SEQUENCE=42\nVROUTER_SOCKET=/run/s\nVROUTER_TIME=2026-03-14T09:26:53.589Z\nVROUTER_TO=Master\nVROUTER_VRID=10\n"
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
}
