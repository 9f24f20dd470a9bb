package web

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"vrouter/control/controltest"
	"vrouter/metrics"
	"vrouter/router"
)

// pageOf returns the dashboard of a router, at the time of its data.
func pageOf(t *testing.T, f *fake) (text, policy string) {
	t.Helper()
	s, _ := serve(t, f)
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
	if answer.Code != 200 || answer.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s: %s", answer.Code, answer.Header().Get("Content-Type"), answer.Body)
	}
	return answer.Body.String(), answer.Header().Get("Content-Security-Policy")
}

func TestTheDashboardShowsEverything(t *testing.T) {
	text, _ := pageOf(t, newFake())
	for _, want := range []string{
		"<title>r1: 2 Master, 1 Backup, 1 Initialize</title>",
		`<span class="pill good">Master</span>`, `<span class="pill calm">Backup</span>`, `<span class="pill warn">Initialize</span>`,
		"192.0.2.1", "VRID 10", "(this router)", "80 of 100", "down (-20): 3 times: timeout after 500ms",
		">3 min 12 s</time>: master down timer", "Holds back: next hop 203.0.113.1", "interface spare: device eth3 does not exist",
		"98.8 GB", "123\u202f456\u202f789", `<span class="pill bad">down</span>`, `<span class="pill good">Established</span>`, "connection refused",
		"97.3 %", `<rect width="97.3"`, "foreign_mac", "/usr/local/bin/check-disk", "fe80::9%wan2", "Initialize → Backup",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(text, "0001-01-01") || strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "%!") {
		t.Error("the page shows what is none")
	}
}

func TestTheDashboardOfAnIdleRouter(t *testing.T) {
	f := &fake{Fake: controltest.Idle(), status: &metrics.Status{Router: "r1"}}
	text, _ := pageOf(t, f)
	if !strings.Contains(text, "no virtual router") || !strings.Contains(text, "None is configured.") || strings.Contains(text, "Not ready") {
		t.Errorf("it is\n%s", text)
	}
}

// TestTheDashboardNeedsNothingFromElsewhere: a browser would fetch what these name.
func TestTheDashboardNeedsNothingFromElsewhere(t *testing.T) {
	text, policy := pageOf(t, newFake())
	if found := regexp.MustCompile(`(?i)\bsrc\s*=|url\(|@import|<link|<iframe|<object|https?://|\sstyle\s*=|\son[a-z]+\s*=\s*"`).FindAllString(text, -1); len(found) > 0 {
		t.Errorf("the page has %q", found)
	}
	for _, tag := range []string{"style", "script"} {
		parts := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(text, -1)
		if len(parts) != 1 || !strings.Contains(policy, tag+"-src '"+hash(parts[0][1])+"'") {
			t.Errorf("%d parts <%s>, and the policy is %s", len(parts), tag, policy)
		}
	}
	if !strings.Contains(text, `<noscript><meta http-equiv="refresh"`) {
		t.Error("without JavaScript it is not refreshed")
	}
}

// TestTextsFromOutsideAreEscaped: a neighbour or a program of the operator chooses them.
func TestTextsFromOutsideAreEscaped(t *testing.T) {
	const evil = `</style></script><script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	f := newFake()
	v := &f.status.VirtualRouters[0]
	v.Name, v.LastReason, v.Obstacle, v.Terms[0].Reason, v.Terms[0].Up = evil, evil, evil, evil, false
	f.status.Router, f.status.Build.Version, f.status.BGP[1].LastError, f.status.Checks[0].Detail = evil, evil, evil, evil
	f.status.Interfaces[0].Name, f.status.BFD[0].LastReason = evil, evil
	f.Log.Append(router.Event{Time: controltest.Now, Kind: evil, Name: evil, From: evil, To: evil, Reason: evil})
	text, _ := pageOf(t, f)
	if strings.Contains(text, "<script>alert") || strings.Contains(text, "<img") || strings.Count(text, "<script>") != 1 || strings.Count(text, "</style>") != 1 {
		t.Error("a text got out of its place")
	}
	if strings.Count(text, "&lt;script&gt;alert") < 10 {
		t.Error("the texts are not there")
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1.00 kB", 12_345: "12.3 kB", 999_499: "999 kB", 999_600: "1.00 MB", 98_765_432_109: "98.8 GB", 1 << 63: "9.22 EB",
	} {
		if got := byteCount(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567"} {
		if got := count(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s", 26*time.Hour + time.Minute: "1 d 2 h", 3*time.Hour + 5*time.Minute: "3 h 5 min",
	} {
		if got := ago(controltest.Now.Add(-d), controltest.Now); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := ago(time.Time{}, controltest.Now); got != "" {
		t.Errorf("never: %q", got)
	}
}

func TestEventsAreTheLatestNewestFirst(t *testing.T) {
	f := newFake()
	for range 60 {
		f.Log.Append(router.Event{Time: controltest.Now, Kind: "config", Name: "old"})
	}
	f.Log.Append(router.Event{Time: controltest.Now, Kind: "vrrp", Name: "the newest"})
	s, _ := serve(t, f)
	list := s.latest(t.Context())
	if len(list) != eventsShown || list[0].Name != "the newest" {
		t.Errorf("%d events, the first is %+v", len(list), list[0])
	}
}
