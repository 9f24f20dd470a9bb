package main

import (
	"bytes"
	"context"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrouter/control"
	"vrouter/control/controltest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// serve answers from the backend on a socket and returns its path.
func serve(t *testing.T, b control.Backend) string {
	t.Helper()
	// Not t.TempDir: a socket's path is short.
	dir, err := os.MkdirTemp("", "vr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(b)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

// result is what a command line did.
type result struct {
	stdout, stderr string
	status         int
}

// command runs a command line at the time of the backend's data.
func command(t *testing.T, stdin string, env map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{
		stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr,
		getenv: func(name string) string { return env[name] },
		now:    func() time.Time { return controltest.Now },
	}
	status := a.run(t.Context(), args)
	return result{stdout.String(), stderr.String(), status}
}

func TestScreens(t *testing.T) {
	busy, idle := serve(t, controltest.New()), serve(t, controltest.Idle())
	for _, test := range []struct{ name, socket, args string }{
		{"vrrp", busy, "show vrrp"},
		{"vrrp_master", busy, "show vrrp lan4"},
		{"vrrp_master_all", busy, "show vrrp lan4 --all"},
		{"vrrp_backup", busy, "show vrrp dmz4"},
		{"vrrp_initialize", busy, "show vrrp old"},
		{"interfaces", busy, "show interfaces"},
		{"routes", busy, "show routes"},
		{"neighbors", busy, "show neighbors"},
		{"counters", busy, "show counters"},
		{"counters_all", busy, "show counters --all"},
		{"events", busy, "show events"},
		{"events_since", busy, "show events --since 3"},
		{"bgp", busy, "show bgp"},
		{"bfd", busy, "show bfd"},
		{"bfd_json", busy, "show bfd --json"},
		{"bfd_idle", idle, "show bfd"},
		{"checks", busy, "show checks"},
		{"ping", busy, "ping 203.0.113.1 -n 4"},
		{"switchover", busy, "switchover lan4"},
		{"reload", busy, "reload"},
		{"drain_end", busy, "drain --end"},
		{"checks_busy_json", busy, "show checks --json"},
		{"checks_idle", idle, "show checks"},
		{"vrrp_json", busy, "show vrrp --json"},
		{"vrrp_one_json", busy, "show vrrp lan6 --json"},
		{"interfaces_json", busy, "show interfaces --json"},
		{"routes_json", busy, "show routes --json"},
		{"neighbors_json", busy, "show neighbors --json"},
		{"counters_json", busy, "show counters --json"},
		{"events_json", busy, "show events --json"},
		{"vrrp_idle", idle, "show vrrp"},
		{"interfaces_idle", idle, "show interfaces"},
		{"routes_idle", idle, "show routes"},
		{"neighbors_idle", idle, "show neighbors"},
		{"counters_idle", idle, "show counters"},
		{"counters_idle_json", idle, "show counters --json"},
		{"events_idle", idle, "show events"},
		{"checks_json", idle, "show checks --json"},
		{"vrrp_idle_json", idle, "show vrrp --json"},
		{"drain", serve(t, controltest.New()), "drain"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := command(t, "", nil, append(strings.Fields(test.args), "-s", test.socket)...)
			if r.status != exitDone || r.stderr != "" {
				t.Errorf("status %d, stderr %q", r.status, r.stderr)
			}
			golden(t, test.name, r.stdout)
			for line := range strings.Lines(r.stdout) {
				if line = strings.TrimSuffix(line, "\n"); len(line) > 80 && !strings.Contains(test.args, "--json") {
					t.Errorf("%d columns: %s", len(line), line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("blanks at the end of %q", line)
				}
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -rewrite accepts it):\n%s", file, got)
	}
}

// exitCases name sockets in capitals: of a router that works (UP), whose pings
// get no answer (DARK), that refuses everything (REFUSED), whose file is wrong
// (WRONG), that nobody can replace (ALONE), and none (ABSENT).
var exitCases = []struct {
	args   string
	status int
	output string // part of stdout, where the status is done; else of stderr
}{
	{"version", exitDone, "vrouter development"},
	{"--help", exitDone, "Available Commands"},
	{"help show", exitDone, "vrouter show"},
	{"show vrrp -s UP", exitDone, "Master"},
	{"show vrrp -s UP lan6", exitDone, "IPv6"},
	{"-s UP show vrrp", exitDone, "Master"},
	{"show -s UP vrrp", exitDone, "Master"},
	{"switchover lan4 -s UP", exitDone, "handing over"},

	{"show vrrp -s ABSENT", exitFailed, "no vrouter is running: there is no socket ABSENT"},
	{"show vrrp --json -s ABSENT", exitFailed, `start one with "vrouter run`},
	{"show events --follow -s ABSENT", exitFailed, "no vrouter is running"},
	{"switchover lan4 -s ABSENT", exitFailed, "no vrouter is running"},
	{"ping 192.0.2.1 -s ABSENT", exitFailed, "no vrouter is running"},
	{"show vrrp lan5 -s UP", exitFailed, `no virtual router "lan5"`},
	{"show vrrp lan5 --json -s UP", exitFailed, "known ones: lan4, lan6, dmz4, old"},
	{"reload -s ABSENT", exitFailed, "no vrouter is running"},
	{"reload -s REFUSED", exitFailed, "lan4 is not Master\n  ask the Master"},
	{"reload -s WRONG", exitFailed, "vrouter.toml:3: unknown key\nvrouter.toml:9: priority\nnothing was changed\n"},
	{"drain --end -s ABSENT", exitFailed, "no vrouter is running"},
	{"drain --wait 1ms -s ALONE", exitFailed, "no other router has taken over lan4, lan6: this one goes on serving\n  look"},
	{"drain --end -s ALONE", exitDone, "takes part again"},
	{"reload now", exitUsage, `unexpected argument "now"`},
	{"drain lan4", exitUsage, `unexpected argument "lan4"`},
	{"drain --wait=x", exitUsage, "invalid argument"},
	{"switchover lan5 -s UP", exitFailed, `no virtual router "lan5"`},
	{"show routes -s REFUSED", exitFailed, "lan4 is not Master\n  ask the Master"},
	{"ping 203.0.113.1 -n 2 -s DARK", exitFailed, ""},
	{"ping 203.0.113.1 -n 2000000 -s UP", exitFailed, "count out of range"},
	{"ping 203.0.113.1 -i 1ms -s UP", exitFailed, "interval out of range"},
	{"ping 224.0.0.1 -s UP", exitFailed, "cannot ping 224.0.0.1"},
	{"check -c /nonexistent/vrouter.toml", exitFailed, "there is no file /nonexistent/vrouter.toml"},

	{"", exitUsage, "say a command: "},
	{"shwo", exitUsage, `unknown command "shwo"`},
	{"--nope", exitUsage, "unknown flag: --nope"},
	{"show", exitUsage, "say a topic: vrrp interfaces routes"},
	{"show interface", exitUsage, "did you mean interfaces?"},
	{"show weather", exitUsage, "known ones: vrrp interfaces routes"},
	{"show vrrp a b", exitUsage, `unexpected argument "b"`},
	{"show routes a", exitUsage, `unexpected argument "a"`},
	{"show routes --all", exitUsage, "unknown flag: --all"},
	{"show events --since=-1", exitUsage, "invalid argument"},
	{"switchover", exitUsage, "the name of a virtual router is missing"},
	{"switchover a b", exitUsage, `unexpected argument "b"`},
	{"ping", exitUsage, "the address is missing"},
	{"ping gateway", exitUsage, `"gateway" is not an IP address`},
	{"ping 192.0.2.1 -n x", exitUsage, "invalid argument"},
	{"check file", exitUsage, `unexpected argument "file"`},
	{"check -c", exitUsage, "flag needs an argument"},
	{"version 2", exitUsage, `unexpected argument "2"`},
}

func TestExitStatus(t *testing.T) {
	fake := controltest.New()
	silent := controltest.New()
	silent.Replies = []control.PingReply{{Error: "timeout"}, {From: netip.MustParseAddr("203.0.113.9"), Error: "no route"}}
	refusing := controltest.New()
	refusing.Err = &control.Error{Status: 409, Message: "lan4 is not Master", Remedy: "ask the Master"}
	alone, wrong := controltest.New(), controltest.New()
	alone.Alone = true
	wrong.Err = &control.Error{
		Status: 422, Message: "vrouter.toml:3: unknown key\nvrouter.toml:9: priority", Remedy: "nothing was changed",
	}
	up, dark, refused := serve(t, fake), serve(t, silent), serve(t, refusing)
	absent := filepath.Join(t.TempDir(), "absent")
	names := strings.NewReplacer("UP", up, "DARK", dark, "REFUSED", refused, "ALONE", serve(t, alone), "WRONG", serve(t, wrong), "ABSENT", absent)
	for _, test := range exitCases {
		t.Run(test.args, func(t *testing.T) {
			r := command(t, "", nil, strings.Fields(names.Replace(test.args))...)
			if r.status != test.status {
				t.Errorf("status %d, want %d\n%s%s", r.status, test.status, r.stdout, r.stderr)
			}
			output := r.stderr
			if test.status == exitDone {
				output = r.stdout
				if r.stderr != "" {
					t.Errorf("stderr %q", r.stderr)
				}
			}
			if want := names.Replace(test.output); !strings.Contains(output, want) {
				t.Errorf("%q does not contain %q", output, want)
			}
			if test.status == exitUsage && r.stdout != "" {
				t.Errorf("a mistake of usage wrote to stdout: %q", r.stdout)
			}
		})
	}
	if calls := strings.Join(fake.Calls(), "; "); strings.Count(calls, "switchover lan4") != 1 || strings.Contains(calls, "lan5") {
		t.Errorf("calls: %s", calls)
	}
}

func TestOnlyCommandsThatWorkAreOffered(t *testing.T) {
	help := command(t, "", nil, "--help").stdout
	for _, later := range []string{"capture", "trace"} {
		if r := command(t, "", nil, later); r.status != exitUsage || strings.Contains(help, "\n  "+later) {
			t.Errorf("%s: status %d", later, r.status)
		}
	}
}

func TestSocketComesFromFlagThenEnvironment(t *testing.T) {
	path := serve(t, controltest.New())
	env := map[string]string{"VROUTER_SOCKET": path}
	if r := command(t, "", env, "show", "vrrp"); r.status != exitDone {
		t.Errorf("VROUTER_SOCKET: %+v", r)
	}
	if r := command(t, "", env, "show", "vrrp", "-s", path+"x"); !strings.Contains(r.stderr, path+"x") {
		t.Errorf("-s before VROUTER_SOCKET: %+v", r)
	}
	env["VROUTER_SOCKET"] = path + "y"
	if r := command(t, "", env, "show", "vrrp"); !strings.Contains(r.stderr, path+"y") {
		t.Errorf("%+v", r)
	}
}

func TestPingWithoutAnyAnswerFailsWithSummary(t *testing.T) {
	fake := controltest.New()
	fake.Replies = []control.PingReply{{Error: "timeout"}, {From: netip.MustParseAddr("203.0.113.9"), Error: "no route"}}
	r := command(t, "", nil, "ping", "198.51.100.7", "-n", "2", "-s", serve(t, fake))
	want := `PING 198.51.100.7: 56 bytes of data, from the router
icmp_seq=1 timeout
From 203.0.113.9: icmp_seq=2 no route

--- 198.51.100.7 ping statistics ---
2 packets transmitted, 0 received, 100% packet loss
`
	if r.stdout != want || r.stderr != "" || r.status != exitFailed {
		t.Errorf("%+v", r)
	}
}

func TestPingThatBreaksOffShowsWhatCameAndWhy(t *testing.T) {
	fake := controltest.New()
	fake.PingError = &control.Error{Message: "interface wan went down"}
	r := command(t, "", nil, "ping", "203.0.113.1", "-n", "9", "-s", serve(t, fake))
	if r.status != exitFailed || r.stderr != "vrouter: interface wan went down\n" ||
		!strings.Contains(r.stdout, "4 packets transmitted, 3 received, 25% packet loss") {
		t.Errorf("%+v", r)
	}
}

func TestPingIsInterruptedWithSummary(t *testing.T) {
	path := serve(t, controltest.New())
	ctx, cancel := context.WithCancel(t.Context())
	out := &cancelAfter{lines: 20, cancel: cancel}
	a := &app{stdout: out, stderr: &bytes.Buffer{}, getenv: os.Getenv, now: time.Now}
	status := a.run(ctx, []string{"ping", "203.0.113.1", "-n", "0", "-s", path})
	if status != exitDone || !strings.Contains(out.text.String(), "packet loss") {
		t.Errorf("status %d, output %s", status, out.text.String())
	}
}

// cancelAfter is an output whose reader interrupts after some lines.
type cancelAfter struct {
	text   bytes.Buffer
	lines  int
	cancel func()
}

func (c *cancelAfter) Write(p []byte) (int, error) {
	if c.lines -= bytes.Count(p, []byte("\n")); c.lines <= 0 {
		c.cancel()
	}
	return c.text.Write(p)
}

func TestFollowEvents(t *testing.T) {
	for _, test := range []struct{ flag, last string }{
		{"", "   4  2026-03-14 09:25:23.589  duplicate_address  lan       192.0.2.2 is also used by 02:00:5e:10:00:77\n"},
		{"--json", `"kind":"duplicate_address","name":"lan","from":"","to":"","reason":"192.0.2.2 is also used by 02:00:5e:10:00:77"}` + "\n"},
	} {
		path := serve(t, controltest.New())
		ctx, cancel := context.WithCancel(t.Context())
		out := &cancelAfter{lines: 4, cancel: cancel}
		a := &app{stdout: out, stderr: &bytes.Buffer{}, getenv: os.Getenv, now: func() time.Time { return controltest.Now }}
		status := a.run(ctx, strings.Fields("show events -f "+test.flag+" -s "+path))
		if status != exitDone || !strings.HasSuffix(out.text.String(), test.last) {
			t.Errorf("status %d, output %s", status, out.text.String())
		}
	}
}

func TestOutputThatCannotBeWrittenFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	path := serve(t, controltest.New())
	for _, args := range []string{"show vrrp", "show vrrp --json", "switchover lan4", "ping 192.0.2.1 -n 1", "show events -f"} {
		var stderr bytes.Buffer
		a := &app{stdout: full, stderr: &stderr, getenv: os.Getenv, now: time.Now}
		if status := a.run(t.Context(), strings.Fields(args+" -s "+path)); status != exitFailed || stderr.Len() == 0 {
			t.Errorf("%s: status %d, stderr %q", args, status, stderr.String())
		}
	}
}
