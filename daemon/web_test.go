package daemon

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"vrouter/control"
)

// freeAddress returns an address of the loopback with a port that nobody has.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// listening is onLAN with pages at an address.
func listening(at string) string { return "[control]\nlisten = \"" + at + "\"\n" + onLAN }

// get returns a page's status and text; 0 where nobody answers.
func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + url)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// series returns the value of a line of the exposition; empty where there is none.
func series(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestPagesAgreeWithShow compares what a scrape says with the control API.
func TestPagesAgreeWithShow(t *testing.T) {
	at := freeAddress(t)
	r := newRig(t, listening(at)).start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	await(t, "a scrape that says Master", func() bool {
		_, text := get(t, at+"/metrics")
		return series(text, `vrouter_vrrp_state{state="Master",virtual_router="gw"}`) == "1"
	})
	_, text := get(t, at+"/metrics")
	list, err := r.client.VRRP(t.Context(), "gw")
	if err != nil {
		t.Fatal(err)
	}
	counters, err := r.client.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := list[0]
	for name, want := range map[string]string{
		`vrouter_vrrp_state{state="Backup",virtual_router="gw"}`:                                              "0",
		`vrouter_vrrp_state{state="Initialize",virtual_router="gw"}`:                                          "0",
		`vrouter_vrrp_priority{virtual_router="gw"}`:                                                          fmt.Sprint(v.Priority),
		`vrouter_vrrp_transitions_total{virtual_router="gw"}`:                                                 fmt.Sprint(v.Transitions),
		`vrouter_vrrp_became_master_total{virtual_router="gw"}`:                                               fmt.Sprint(v.Counters["became_master"]),
		`vrouter_interface_up{interface="lan"}`:                                                               "1",
		`vrouter_forwarding_dropped_frames_total{reason="foreign_mac"}`:                                       fmt.Sprint(counters.Drops["foreign_mac"]),
		`vrouter_routes{family="ipv4",source="connected"}`:                                                    "2",
		`vrouter_routes{family="ipv4",source="virtual"}`:                                                      "1",
		`vrouter_vrrp_advertisement_interval_seconds{virtual_router="gw"}`:                                    "0.1",
		`vrouter_vrrp_advertisements_received_total{virtual_router="gw"}`:                                     "0",
		`vrouter_vrrp_info{family="ipv4",group="",interface="lan",version="3",virtual_router="gw",vrid="10"}`: "1",
	} {
		if got := series(text, name); got != want {
			t.Errorf("%s is %q, show says %s", name, got, want)
		}
	}
	if strings.Contains(text, "vrouter_vrrp_other_total{") || strings.Contains(text, "vrouter_control_other_total{") {
		t.Error("a counter has no metric of its own")
	}
	for _, path := range []string{"/", "/healthz", "/readyz"} {
		if status, text := get(t, at+path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	r.stop()
	if status, _ := get(t, at+"/healthz"); status != 0 {
		t.Errorf("it still answers %d after its end", status)
	}
}

// TestReadyzSaysWhatIsMissing: a port that is down keeps a virtual router in
// Initialize.
func TestReadyzSaysWhatIsMissing(t *testing.T) {
	at := freeAddress(t)
	r := newRig(t, listening(at)).start()
	await(t, "ready", func() bool { status, _ := get(t, at+"/readyz"); return status == http.StatusOK })
	r.ports[0].SetUp(false)
	var text string
	await(t, "not ready", func() bool {
		status, now := get(t, at+"/readyz")
		text = now
		return status == http.StatusServiceUnavailable
	})
	if !strings.Contains(text, "virtual router gw is in Initialize: interface lan") {
		t.Errorf("it says %q", text)
	}
	if status, _ := get(t, at+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz is %d, and the loop turns", status)
	}
}

// TestReloadMovesThePages: to another port, to another address of the same port,
// to none and back; a bad address changes nothing.
func TestReloadMovesThePages(t *testing.T) {
	first, second := freeAddress(t), freeAddress(t)
	head := func(at string) string { return "listen = \"" + at + "\"\n" + onLAN }
	r, write := reloadRig(t, "[control]\n"+head(first))
	r.start()
	answers := func(at string) bool { status, _ := get(t, at+"/healthz"); return status == http.StatusOK }
	reload := func(text string) {
		t.Helper()
		write(text)
		if err := r.client.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the pages", func() bool { return answers(first) })
	reload(head(second))
	if answers(first) || !answers(second) {
		t.Error("not moved to another port")
	}
	_, port, _ := net.SplitHostPort(second)
	reload(head("0.0.0.0:" + port))
	if !answers(second) || !answers("127.0.0.2:"+port) {
		t.Error("not moved to all addresses of the same port")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for bad, want := range map[string]string{
		taken.Addr().String(): "another program",
		"192.0.2.77:9468":     "an address that this host's kernel has",
		"192.0.2.77:" + port:  "an address that this host's kernel has",
	} {
		write(head(bad) + "priority = 7\n")
		var e *control.Error
		if err := r.client.Reload(t.Context()); !errors.As(err, &e) || !strings.Contains(e.Remedy, want) {
			t.Errorf("%s: %v", bad, err)
		}
		if !answers(second) {
			t.Errorf("after %s nobody answers any more", bad)
		}
	}
	if list, err := r.client.VRRP(t.Context(), "gw"); err != nil || list[0].Priority != 100 {
		t.Errorf("the refused configuration is in use: %v, %v", list, err)
	}
	write("listen = \"" + second + "\"\n" + strings.Replace(onLAN, `"eth1"`, `"eth7"`, 1))
	if err := r.client.Reload(t.Context()); err == nil || !answers("127.0.0.2:"+port) {
		t.Errorf("a reload that something else refuses has moved the pages: %v", err)
	}
	reload(onLAN)
	if answers(second) {
		t.Error("it still answers without listen")
	}
	reload(head(first))
	if !answers(first) {
		t.Error("not back")
	}
}

// TestATakenAddressIsAnErrorBeforeAnythingIsTouched.
func TestATakenAddressIsAnErrorBeforeAnythingIsTouched(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = listenWeb(l.Addr().(*net.TCPAddr).AddrPort())
	var e *control.Error
	if !errors.As(err, &e) || !strings.Contains(e.Remedy, "another program") || !strings.Contains(e.Message, "in use") {
		t.Errorf("%v", err)
	}
}
