package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"vrouter/control"
	"vrouter/control/controltest"
	"vrouter/router"
)

// sampleOf is what a router with one interface and one worker tells, so many
// seconds after the first sample, when it has forwarded so many packets.
func sampleOf(seconds float64, packets uint64) *sample {
	return &sample{
		at:      controltest.Now.Add(time.Duration(seconds * float64(time.Second))),
		routers: []control.VirtualRouter{{State: stateMaster}},
		interfaces: []router.InterfaceStatus{
			{
				Name: "lan", Up: true,
				RX: router.TrafficStatus{Packets: packets, Bytes: 100 * packets, Dropped: packets / 10},
				TX: router.TrafficStatus{Packets: packets / 2, Bytes: 50 * packets},
			},
			{Name: "wan", RX: router.TrafficStatus{Packets: 2 * packets, Bytes: 200 * packets}},
		},
		counters: router.CountersStatus{
			Drops: map[string]uint64{"no_route": packets / 4, "ttl_expired": 7, "bad_checksum": 0},
			Punts: map[string]router.PuntStatus{"arp": {Accepted: packets, Dropped: packets / 2}},
			ICMP:  map[string]uint64{"unreachable_sent": packets / 20, "unreachable_suppressed": packets},
			Workers: []router.WorkerStatus{{
				Worker: 3, Forwarded: packets, Frames: 2 * packets, Batches: packets / 5, BusyNS: packets * 500_000,
				UptimeNS: uint64((100 + seconds) * 1e9), Busy: 12.5,
				Punts: map[string]router.PuntStatus{"arp": {Accepted: packets, Dropped: 5}},
				Drops: map[string]uint64{"no_route": packets / 4},
				Lost:  router.LostStatus{Receiving: packets / 10},
			}},
		},
	}
}

func TestRatesAreThoseBetweenTwoSamples(t *testing.T) {
	l := sampleOf(2, 3000).between(sampleOf(0, 1000))
	n := l.interfaces[0]
	if n.rxPackets != 1000 || n.rxBits != 800_000 || n.txPackets != 500 || n.txBits != 400_000 || n.rxLost != 100 || n.txLost != 0 {
		t.Errorf("interface: %+v", n)
	}
	if l.in != 3000 || l.inBits != 2_400_000 || l.out != 500 {
		t.Errorf("together: in %v, %v, out %v", l.in, l.inBits, l.out)
	}
	w := l.workers[0]
	// 2000 packets of 500 us in 2 s.
	if w.busy != 50 || w.forwarded != 1000 || w.frames != 2000 || w.punted != 1000 || w.dropped != 250 || w.lostIn != 100 || w.lostOut != 0 {
		t.Errorf("worker: %+v", w)
	}
	if w.perBatch != 10 || w.perFrame != 250_000 {
		t.Errorf("%v frames a batch, %v ns a frame", w.perBatch, w.perFrame)
	}
	var names []string
	for _, d := range l.losses {
		names = append(names, d.name)
	}
	// 500, 250, 100, 50 and 0 a second; what never happened is left out, and an
	// error that was suppressed is a drop already.
	want := []string{"punt queue arp", "no_route", "lan: receiving", "answered by ICMP unreachable", "ttl_expired"}
	if !slices.Equal(names, want) || l.drops != 900 {
		t.Errorf("%v a second: %+v", l.drops, l.losses)
	}
}

func TestTheFirstSampleHasNoRates(t *testing.T) {
	l := sampleOf(0, 1000).between(nil)
	n, w := l.interfaces[0], l.workers[0]
	if n.rxPackets != unknown || n.txLost != unknown || w.forwarded != unknown || w.lostIn != unknown || l.in != unknown || l.drops != unknown {
		t.Errorf("%+v %+v %+v", n, w, l)
	}
	if w.busy != 12.5 || w.perBatch != -1 || w.perFrame != -1 {
		t.Errorf("the worker's own load: %+v", w)
	}
}

func TestARestartedRouterHasNoNegativeRates(t *testing.T) {
	before, now := sampleOf(10, 5000), sampleOf(11, 40)
	now.counters.Workers[0].UptimeNS = 900_000_000
	l := now.between(before)
	n, w := l.interfaces[0], l.workers[0]
	if n.rxPackets != unknown || w.forwarded != unknown || w.busy != 12.5 || w.perFrame != -1 {
		t.Errorf("%+v %+v", n, w)
	}
	for _, d := range l.losses {
		if d.name != "ttl_expired" && d.rate != unknown {
			t.Errorf("%+v", d)
		}
	}
}

func TestAnInterfaceThatCameLaterHasNoRatesAtFirst(t *testing.T) {
	before, now := sampleOf(0, 1000), sampleOf(1, 2000)
	before.interfaces = before.interfaces[1:]
	l := now.between(before)
	if l.interfaces[0].rxPackets != unknown || l.interfaces[1].rxPackets != 2000 || l.in != 2000 {
		t.Errorf("%+v", l.interfaces)
	}
}

func TestABatchOverTheEndOfASampleIsNoMoreThanAllOfTheTime(t *testing.T) {
	before, now := sampleOf(0, 0), sampleOf(1, 3000)
	if w := now.between(before).workers[0]; w.busy != 100 {
		t.Errorf("busy %v", w.busy)
	}
}

func TestShareIsFairAndGivesNothingAway(t *testing.T) {
	for _, test := range []struct {
		rows        int
		wants, want []int
	}{
		{10, []int{2, 3}, []int{2, 3}},
		{5, []int{9, 9, 9}, []int{2, 2, 1}},
		{9, []int{1, 9, 2}, []int{1, 6, 2}},
		{0, []int{4}, []int{0}},
		{-3, []int{4}, []int{0}},
		{7, nil, nil},
	} {
		if got := share(test.rows, test.wants); !slices.Equal(got, test.want) {
			t.Errorf("%d rows for %v: %v, want %v", test.rows, test.wants, got, test.want)
		}
	}
}

// busyModel shows the gateway of the other screens, with rates.
func busyModel(t *testing.T) *topModel {
	t.Helper()
	socket := serve(t, controltest.New())
	m := &topModel{source: "/run/vrouter/vrouter.sock", interval: time.Second}
	for i := range 3 {
		s, err := look(t.Context(), control.NewClient(socket), m.sequence)
		if err != nil {
			t.Fatal(err)
		}
		s.at = controltest.Now.Add(time.Duration(i) * time.Second)
		grow := uint64(i * i)
		s.interfaces[0].RX.Packets += 1_000_000 * grow
		s.interfaces[0].RX.Bytes += 64_000_000 * grow
		s.interfaces[1].TX.Packets += 900_000 * grow
		s.interfaces[1].TX.Bytes += 57_600_000 * grow
		s.counters.Drops["no_route"] += 5 * grow
		w := &s.counters.Workers[0]
		w.Forwarded, w.Frames, w.Batches = w.Forwarded+900_000*grow, w.Frames+1_000_000*grow, w.Batches+20_000*grow
		w.UptimeNS, w.BusyNS = w.UptimeNS+uint64(i)*1e9, w.BusyNS+300_000_000*grow
		w.Lost.Receiving += 100_000 * grow
		m.take(s)
	}
	return m
}

func TestTheScreenOfTop(t *testing.T) {
	m := busyModel(t)
	for name, size := range map[string][2]int{"top_80x24": {80, 24}, "top_200x50": {200, 50}, "top_80x12": {80, 12}} {
		lines := m.lines(size[0], size[1], false, controltest.Now)
		if len(lines) != size[1] {
			t.Errorf("%s: %d lines", name, len(lines))
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > size[0] {
				t.Errorf("%s: %d columns: %s", name, utf8.RuneCountInString(line), line)
			}
		}
		golden(t, name, strings.TrimRight(strings.Join(lines, "\n"), "\n")+"\n")
	}
}

func TestTheScreenHasTheTerminalsHeightWhateverItIs(t *testing.T) {
	m := busyModel(t)
	for only := partAll; only <= partEvents; only++ {
		m.only = only
		for height := 3; height < 70; height++ {
			if n := len(m.lines(80, height, true, controltest.Now)); n != height {
				t.Fatalf("part %d: %d lines on %d", only, n, height)
			}
		}
	}
	for _, size := range [][2]int{{0, 1}, {1, 1}, {10, 2}} { // no panic is all that is asked for
		m.lines(size[0], size[1], false, controltest.Now)
	}
}

func TestScrollingStaysInside(t *testing.T) {
	m := busyModel(t)
	m.press("5", 5)
	view := func() string { return strings.Join(m.lines(80, 8, false, controltest.Now), "\n") }
	first := view()
	if !strings.Contains(first, "duplicate_address") || strings.Contains(first, "VIRTUAL ROUTER") {
		t.Errorf("the newest event comes first, and events are alone:\n%s", first)
	}
	for _, key := range []string{"down", "pgdown", "end"} {
		m.press(key, 5)
	}
	last := view()
	if !strings.Contains(last, "device eth3 does not exist") || last == first {
		t.Errorf("the oldest event is at the end:\n%s", last)
	}
	for range 5 {
		m.press("up", 5)
	}
	m.press("home", 5)
	m.press("pgup", 5)
	if view() != first {
		t.Errorf("not back at the beginning:\n%s", view())
	}
	if m.press("esc", 5) || m.only != partAll {
		t.Error("the first esc leads back to all parts")
	}
	if !m.press("esc", 5) || !m.press("q", 5) || !m.press("ctrl+c", 5) {
		t.Error("there is no way out")
	}
}

func TestKeysOfTop(t *testing.T) {
	m := &topModel{interval: time.Second}
	m.take(sampleOf(0, 0))
	m.take(sampleOf(1, 1000))
	if got := m.interfaces()[0].Name; got != "lan" {
		t.Errorf("%s is first of the configuration", got)
	}
	m.press("s", 1)
	if got := m.interfaces()[0].Name; got != "wan" {
		t.Errorf("%s has the most traffic", got)
	}
	for range 20 {
		m.press("+", 1)
	}
	if m.interval != maxTopInterval {
		t.Errorf("interval %v", m.interval)
	}
	for range 20 {
		m.press("-", 1)
	}
	if m.interval != minTopInterval {
		t.Errorf("interval %v", m.interval)
	}
	if m.press("p", 1); !m.paused || !strings.Contains(m.lines(80, 24, false, controltest.Now)[0], "paused") {
		t.Error("not paused")
	}
	if m.press("space", 1); m.paused {
		t.Error("still paused")
	}
	if m.press("x", 1) {
		t.Error("a key without a meaning ends it")
	}
}

func TestEventsAreShownOnceAlsoAfterAnInterruption(t *testing.T) {
	m := &topModel{}
	event := func(n uint64, after time.Duration) router.Event {
		return router.Event{Sequence: n, Time: controltest.Now.Add(after), Kind: "vrrp"}
	}
	s := sampleOf(0, 0)
	s.events = []router.Event{event(1, 0), event(2, time.Second)}
	m.take(s)
	if m.sequence != 2 {
		t.Errorf("the next look is from event %d on", m.sequence)
	}
	m.fail(errors.New("gone\nfor good"))
	if m.sequence != 0 || !strings.Contains(strings.Join(m.lines(80, 24, false, controltest.Now), "\n"), "no answer: gone?for good") {
		t.Errorf("from event %d on; %q", m.sequence, m.lines(80, 24, false, controltest.Now)[2])
	}
	s = sampleOf(5, 0) // the same process knows both still, another has a new first
	s.events = []router.Event{event(1, 0), event(2, time.Second), event(1, time.Minute)}
	m.take(s)
	if len(m.events) != 3 || m.problem != nil {
		t.Errorf("%d events, %v", len(m.events), m.problem)
	}
	for n := range uint64(3 * eventsKept) {
		s = sampleOf(6, 0)
		s.events = []router.Event{event(n+10, time.Hour)}
		m.take(s)
	}
	if len(m.events) != eventsKept || len(m.history) > historyKept {
		t.Errorf("%d events and %d samples are kept", len(m.events), len(m.history))
	}
}

func TestSparksAndGauges(t *testing.T) {
	for _, test := range []struct {
		history []perSecond
		width   int
		want    string
	}{
		{nil, 5, ""},
		{[]perSecond{0, 0}, 5, "▁▁"},
		{[]perSecond{0, 50, 100}, 5, "▁▅█"},
		{[]perSecond{1000, 0, 7, 14}, 3, "▁▅█"},
	} {
		if got := sparks(test.history, test.width); got != test.want {
			t.Errorf("%v: %s, want %s", test.history, got, test.want)
		}
	}
	for percent, full := range map[float64]int{-3: 0, 0: 0, 50: 10, 99.9: 20, 100: 20, 250: 20, math.Inf(1): 20} {
		g := gauge(percent)
		if strings.Count(g, "█") != full || utf8.RuneCountInString(g) != 20 {
			t.Errorf("%v: %s", percent, g)
		}
	}
}

func TestNumbersOfTop(t *testing.T) {
	for r, want := range map[perSecond]string{unknown: "-", 0: "0", 0.5: "0.5", 9.96: "10.0", 10.4: "10", 99_999: "99999", 1_234_567: "1.2M"} {
		if got := rate(r); got != want {
			t.Errorf("rate %v: %s, want %s", float64(r), got, want)
		}
	}
	for r, want := range map[perSecond]string{unknown: "-", 0: "0", 999: "999", 1000: "1.0k", 9_870_000_000: "9.9G"} {
		if got := bitRate(r); got != want {
			t.Errorf("bits %v: %s, want %s", float64(r), got, want)
		}
	}
	for ns, want := range map[float64]string{0: "0 ns", 850.4: "850 ns", 18_947: "18.9 us", 1_919_577: "1.9 ms"} {
		if got := nanoseconds(ns); got != want {
			t.Errorf("%v ns: %s, want %s", ns, got, want)
		}
	}
}

func TestNamesOfOthersCannotSteerTheScreen(t *testing.T) {
	s := sampleOf(1, 0)
	s.interfaces[0].Name, s.interfaces[0].Problem = "\x1b[2Jlan", "\x1b]0;x\a"
	s.counters.Drops["\x1b[31m"] = 1
	s.events = []router.Event{{Sequence: 1, Name: "\x1bc", Reason: "a\nb"}}
	m := &topModel{source: "\x1b[0m"}
	m.take(s)
	if all := strings.Join(m.lines(200, 50, false, controltest.Now), ""); strings.ContainsAny(all, "\x1b\a\n") {
		t.Errorf("%q", all)
	}
}

// keyPress is the message of a key without modifiers.
func keyPress(r rune) tea.KeyPressMsg { return tea.KeyPressMsg{Code: r, Text: string(r)} }

func TestTheProgramLooksOneLookAtATime(t *testing.T) {
	client := control.NewClient(serve(t, controltest.New()))
	screen := &topScreen{
		topModel: topModel{interval: minTopInterval}, client: client, ctx: t.Context(),
		app: &app{stdout: &strings.Builder{}, getenv: func(string) string { return "" }, now: func() time.Time { return controltest.Now }},
	}
	if v := screen.View(); v.Content != "" || !v.AltScreen {
		t.Errorf("before the size is known: %+v", v)
	}
	screen.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	if v := screen.View(); !strings.Contains(v.Content, "waiting for the router") {
		t.Errorf("before the first answer: %s", v.Content)
	}
	_, command := screen.Update(due{})
	answer, ok := command().(looked)
	if !ok || answer.err != nil || len(answer.sample.routers) != 4 {
		t.Fatalf("%+v", answer)
	}
	if _, command = screen.Update(answer); command == nil {
		t.Error("nothing follows an answer")
	}
	if v := screen.View(); !strings.Contains(v.Content, "lan4") || strings.Count(v.Content, "\n") != 23 {
		t.Errorf("%s", v.Content)
	}
	screen.Update(looked{err: errors.New("no route to router")})
	if v := screen.View(); !strings.Contains(v.Content, "no answer: no route to router") || !strings.Contains(v.Content, "lan4") {
		t.Errorf("%s", v.Content)
	}
	screen.Update(keyPress('p'))
	_, command = screen.Update(due{})
	if _, ok := command().(due); !ok {
		t.Error("it looks while paused")
	}
	if _, command = screen.Update(keyPress('q')); command == nil {
		t.Fatal("q does nothing")
	} else if _, ok := command().(tea.QuitMsg); !ok {
		t.Error("q does not quit")
	}
}

func TestTheCommandTop(t *testing.T) {
	socket := serve(t, controltest.New())
	r := command(t, "", nil, "top", "--once", "--interval", "250ms", "-s", socket)
	if r.status != exitDone || r.stderr != "" || !strings.Contains(r.stdout, "VIRTUAL ROUTER") || strings.Contains(r.stdout, "press") {
		t.Errorf("%+v", r)
	}
	for _, test := range []struct {
		args   string
		status int
		want   string
	}{
		{"top -s " + socket, exitUsage, "--once"},
		{"top --once -i 1ms -s " + socket, exitUsage, "from 250ms to 1m0s"},
		{"top --once -s " + socket + ".none", exitFailed, "no vrouter is running"},
		{"top now", exitUsage, "unexpected argument"},
	} {
		r := command(t, "", nil, strings.Fields(test.args)...)
		if r.status != test.status || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%s: %+v", test.args, r)
		}
	}
}

func TestVirtualRoutersInTroubleComeFirst(t *testing.T) {
	one := func(name, state string, forwarding bool, contested *router.ContestedStatus) control.VirtualRouter {
		return control.VirtualRouter{
			VirtualRouterStatus: router.VirtualRouterStatus{Name: name, Forwarding: forwarding, Contested: contested}, State: state,
		}
	}
	m := &topModel{last: &sample{routers: []control.VirtualRouter{
		one("a", stateMaster, true, nil), one("b", "Backup", false, nil), one("c", stateInitialize, false, nil),
		one("d", stateMaster, false, nil), one("e", "Backup", false, nil), one("f", stateMaster, true, &router.ContestedStatus{}),
	}}}
	var names string
	for _, v := range m.routers() {
		names += v.Name
	}
	if names != "dfcabe" {
		t.Errorf("order %s", names)
	}
	if m.last.routers[0].Name != "a" {
		t.Error("the sample itself is in another order")
	}
}

func TestTheProgramRunsOnATerminalAndGivesItBack(t *testing.T) {
	fake := controltest.New()
	var stdout bytes.Buffer
	input, keys := io.Pipe()
	defer keys.Close()
	a := &app{
		stdin: input, stdout: &stdout, socket: serve(t, fake), getenv: func(string) string { return "" },
		now: func() time.Time { return controltest.Now },
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.top(ctx, topModel{interval: minTopInterval}, false) }()
	if _, err := keys.Write([]byte("2q")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("q does not end it")
	}
	const enter, leave = "\x1b[?1049h", "\x1b[?1049l"
	if out := stdout.String(); strings.Count(out, enter) > strings.Count(out, leave) {
		t.Errorf("the terminal stays on the alternate screen: %q", out)
	}
}

func TestASignalEndsTheProgramInOrder(t *testing.T) {
	input, keys := io.Pipe()
	defer keys.Close()
	output, stdout := io.Pipe()
	a := &app{
		stdin: input, stdout: stdout, socket: serve(t, controltest.New()), getenv: func(string) string { return "" },
		now: func() time.Time { return controltest.Now },
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.top(ctx, topModel{interval: minTopInterval}, false) }()
	if _, err := output.Read(make([]byte, 1)); err != nil { // it runs
		t.Fatal(err)
	}
	go io.Copy(io.Discard, output)
	defer stdout.Close()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
}
