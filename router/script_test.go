package router

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/packet"
	"vrouter/vrrp"
)

var rewrite = flag.Bool("rewrite", false, "write the traces of testdata/*.txt anew")

// TestScripts replays the scenarios of testdata: each is a configuration, and
// commands with the trace that they must leave. They read as documentation;
// after a wanted change, write them anew with -rewrite and read the difference.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("the trace differs:\n%s", firstDifference(got, string(text)))
			}
			if again := replay(t, string(text)); again != got {
				t.Errorf("the second run differs from the first:\n%s", firstDifference(again, got))
			}
		})
	}
}

// firstDifference shows where two texts part.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			end := min(i+6, len(g))
			text := fmt.Sprintf("line %d:\ngot:\n%s", i+1, strings.Join(g[i:end], "\n"))
			if i < len(w) {
				text += "\nwant:\n" + strings.Join(w[i:min(i+6, len(w))], "\n")
			}
			return text
		}
	}
	return "missing: " + strings.Join(w[len(g):], "\n")
}

// script is a router under a scenario, in simulated time.
type script struct {
	t      testing.TB
	router *Router
	config string // text
	start  time.Time
	now    time.Time
	quiet  bool                   // turns leave no trace
	wills  bool                   // they are part of the trace
	told   map[string]toldSession // by the name of a BGP neighbour

	flapping flapModel
	silent   time.Time // since when there is no BGP process
	groups   bool      // so are reports of membership, which would be in every trace else
	trace    strings.Builder
}

// newScript starts a router with a configuration.
func newScript(t testing.TB, text string) *script {
	t.Helper()
	cfg, err := config.Parse("script", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &script{t: t, router: New(cfg, 1), config: text, start: start, now: start}
	s.turn(s.router.Start(s.now))
	return s
}

// replay runs a scenario and returns it with the trace that it leaves: the
// configuration up to a line "---", then commands (lines that begin with ">"),
// comments and blank lines, which stay, and traces (indented), which are new.
func replay(t testing.TB, text string) string {
	t.Helper()
	cfg, commands, ok := strings.Cut(text, "\n---\n")
	if !ok {
		t.Fatal("no line --- behind the configuration")
	}
	s := newScript(t, cfg)
	s.trace.Reset() // what Start does, some scenario shows by "> restart"
	out := cfg + "\n---\n"
	for line := range strings.Lines(commands) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out += line
		if command, ok := strings.CutPrefix(line, "> "); ok {
			s.run(strings.TrimSpace(command))
			out += s.trace.String()
			s.trace.Reset()
		}
	}
	return out
}

func (s *script) portName(n uint16) string { return s.router.ifaces[n].cfg.Name }

// print adds a line to the trace.
func (s *script) print(format string, args ...any) {
	if !s.quiet {
		fmt.Fprintf(&s.trace, "  %7.3f  %s\n", s.now.Sub(s.start).Seconds(), fmt.Sprintf(format, args...))
	}
}

// turn takes what one call of the router asks for.
func (s *script) turn(actions []Action) {
	s.t.Helper()
	s.verify(actions)
	for _, a := range actions {
		text := s.describe(a)
		if _, ok := a.(Will); ok && !s.wills || !s.groups && strings.Contains(text, " reports ") {
			continue
		}
		s.print("%s", text)
	}
}

// verify checks what holds for every turn of every router.
func (s *script) verify(actions []Action) {
	s.t.Helper()
	s.verifyWills(actions)
	for i, a := range actions {
		_, first := actions[max(i-1, 0)].(Will)
		if _, ok := a.(Publish); ok && i > 0 && !first {
			s.t.Errorf("%v: Publish is action %d of its turn: frames may have left before it", s.now, i)
		}
		if tx, ok := a.(Transmit); ok {
			s.verifyTransmit(tx)
		}
	}
	for _, v := range s.router.virtual {
		snap := s.router.Snapshot()
		if served := snap.Ports[v.port].IsMaster(v.mac); served != v.machine.Forwarding() {
			s.t.Errorf("%v: %s: snapshot serves %v, machine forwards %v", s.now, v.cfg.Name, served, v.machine.Forwarding())
		}
	}
	s.verifyUnity()
}

// verifyWills checks that there is a will for each Master that can speak, and
// for nobody else, before anything of the turn is carried out.
func (s *script) verifyWills(actions []Action) {
	s.t.Helper()
	for i, a := range actions {
		if _, ok := a.(Will); !ok {
			continue
		}
		if _, before := actions[max(i-1, 0)].(Will); i > 0 && !before {
			s.t.Errorf("%v: a will is action %d of its turn, behind %T", s.now, i, actions[i-1])
		}
	}
	masters := 0
	for _, v := range s.router.virtual {
		if v.machine.State() != vrrp.Master {
			continue
		}
		want := s.router.willFrames(s.now, v)
		if len(want) > 0 {
			masters++
		}
		if v.cfg.Auth.Type != vrrp.AuthAH && !slices.EqualFunc(s.router.wills[v.cfg.Name], want, bytes.Equal) {
			s.t.Errorf("%v: %s: the will is not what it would be now", s.now, v.cfg.Name)
		}
	}
	up := 0
	for _, session := range s.router.bfd.list {
		w, ok := s.router.willBFD(session)
		if !ok {
			continue
		}
		up++
		if !slices.EqualFunc(s.router.wills[w.Name], w.Frames, bytes.Equal) {
			s.t.Errorf("%v: %s: the will is not what it would be now", s.now, w.Name)
		}
	}
	if masters+up != len(s.router.wills) {
		s.t.Errorf("%v: %d wills for %d Masters and %d BFD sessions", s.now, len(s.router.wills), masters, up)
	}
}

// verifyTransmit checks that a frame leaves an interface that is up, valid, and
// from the virtual MAC only where this router has it.
func (s *script) verifyTransmit(tx Transmit) {
	s.t.Helper()
	if !s.router.ifaces[tx.Port].state.Up {
		s.t.Errorf("%v: a frame leaves by %s, which is down", s.now, s.portName(tx.Port))
	}
	text := describeFrame(tx.Frame)
	if strings.Contains(text, "bad ") || strings.Contains(text, "unknown") {
		s.t.Errorf("%v: invalid frame sent: %s", s.now, text)
	}
	src := packet.Ethernet(tx.Frame).Src()
	for _, v := range s.router.virtual {
		if v.port == tx.Port && v.mac == src && !v.machine.Answers() && !strings.Contains(text, "priority 0 ") && !strings.Contains(text, "lifetime 0s") {
			s.t.Errorf("%v: %s speaks from its virtual MAC though it is not Master: %s", s.now, v.cfg.Name, text)
		}
	}
}

// advance lets d go by, with a call of Advance at each deadline.
func (s *script) advance(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	for turns := 0; ; turns++ {
		deadline := s.router.Deadline()
		if deadline.IsZero() || deadline.After(end) {
			break
		}
		if turns > 200_000 {
			s.t.Fatalf("%v: too many turns", s.now)
		}
		if deadline.After(s.now) {
			s.now = deadline
		}
		s.advanceOnce()
	}
	s.now = end
}

func (s *script) advanceOnce() {
	s.t.Helper()
	s.turn(s.router.Advance(s.now))
	if d := s.router.Deadline(); !d.IsZero() && !d.After(s.now) {
		s.t.Errorf("%v: after Advance the deadline is %v ago", s.now, s.now.Sub(d))
	}
}
