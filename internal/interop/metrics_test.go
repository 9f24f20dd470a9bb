package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pagesAt is where the router under test shows its pages: an address that the
// kernel of its namespace has.
const pagesAt = "127.0.0.1:9468"

// listen has the router show its pages.
func (v *vrouter) listen(at string) {
	v.t.Helper()
	text, err := os.ReadFile(v.config)
	must(v.t, err)
	changed := strings.Replace(string(text), "[control]\n", fmt.Sprintf("[control]\nlisten = %q\n", at), 1)
	must(v.t, os.WriteFile(v.config, []byte(changed), 0o600))
}

// page asks for a page from the router's own host.
func (v *vrouter) page(path string) (status int, text string, err error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (c net.Conn, err error) {
			err = v.host.Do(func() (err error) { c, err = net.DialTimeout("tcp", pagesAt, 5*time.Second); return err })
			return c, err
		},
	}}
	answer, err := client.Get("http://" + pagesAt + path)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

// metric returns the value of one series.
func (v *vrouter) metric(series string) (string, error) {
	status, text, err := v.page("/metrics")
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("status %d: %v", status, err)
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("no series %s", series)
}

// waitMetric waits until a series has a value.
func (v *vrouter) waitMetric(series, want string) {
	v.t.Helper()
	waitFor(v.t, patience, series+" is "+want, func() error {
		got, err := v.metric(series)
		if err == nil && got != want {
			err = fmt.Errorf("it is %s", got)
		}
		return err
	})
}

// The pages of the built program, through its life: as Master, with its link cut,
// killed and started anew by its guardian. What they say is what show says.
func TestThePagesFollowTheRouter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	v := r.vrouter("r1", interfaces(numberFirst)+gateways(200, "100ms"))
	v.listen(pagesAt)
	if out, err := exec.Command(v.binary, "check", "-c", v.config).CombinedOutput(); err != nil {
		t.Fatalf("check: %v\n%s", err, out)
	}
	v.start()
	v.waitMaster()
	const master, initial = `vrouter_vrrp_state{state="Master",virtual_router="lan4"}`, `vrouter_vrrp_state{state="Initialize",virtual_router="lan4"}`
	v.waitMetric(master, "1")
	v.waitMetric("vrouter_guardian_restarts_total", "0")
	v.agree()
	waitFor(t, patience, "ready", func() error { return v.answers("/readyz", http.StatusOK, "ready") })

	must(t, v.lan.Cut())
	v.waitMetric(initial, "1")
	v.waitMetric(`vrouter_interface_up{interface="lan"}`, "0")
	must(t, v.answers("/readyz", http.StatusServiceUnavailable, "virtual router lan4 is in Initialize: interface lan"))
	must(t, v.answers("/healthz", http.StatusOK, "ok"))
	must(t, v.answers("/", http.StatusOK, `<span class="pill warn">Initialize</span>`))
	must(t, v.lan.Plug())
	v.waitMetric(master, "1")

	children := v.process.Children()
	if len(children) != 1 {
		t.Fatalf("the guardian has the children %v, want the router process alone", children)
	}
	must(t, unix.Kill(children[0], unix.SIGKILL))
	v.waitMetric("vrouter_guardian_restarts_total", "1")
	v.waitMetric(master, "1")
	v.stop()
	if status, _, err := v.page("/healthz"); err == nil {
		t.Errorf("it answers %d after its end", status)
	}
}

// answers compares a page with what is expected.
func (v *vrouter) answers(path string, want int, contains string) error {
	status, text, err := v.page(path)
	if err != nil || status != want || !strings.Contains(text, contains) {
		return fmt.Errorf("%s: status %d, want %d with %q: %v\n%s", path, status, want, contains, err, text)
	}
	return nil
}

// agree compares metrics of things that stand still with what show says.
func (v *vrouter) agree() {
	v.t.Helper()
	out, err := v.show("vrrp")
	must(v.t, err)
	var list []struct {
		Name              string
		Priority          int
		EffectivePriority int `json:"effective_priority"`
		Transitions       int
		Counters          map[string]uint64
	}
	must(v.t, json.Unmarshal(out, &list))
	if len(list) != 4 {
		v.t.Fatalf("%d virtual routers", len(list))
	}
	for _, one := range list {
		for name, want := range map[string]any{
			"vrouter_vrrp_priority": one.Priority, "vrouter_vrrp_effective_priority": one.EffectivePriority,
			"vrouter_vrrp_transitions_total":   one.Transitions,
			"vrouter_vrrp_became_master_total": one.Counters["became_master"],
		} {
			v.waitMetric(fmt.Sprintf("%s{virtual_router=%q}", name, one.Name), fmt.Sprint(want))
		}
	}
	out, err = v.show("routes")
	must(v.t, err)
	var routes []struct{ Prefix, Source string }
	must(v.t, json.Unmarshal(out, &routes))
	count := 0
	for _, route := range routes {
		if route.Source == "connected" && !strings.Contains(route.Prefix, ":") {
			count++
		}
	}
	v.waitMetric(`vrouter_routes{family="ipv4",source="connected"}`, fmt.Sprint(count))
}
