package web

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

var paths = []string{"/", "/metrics", "/healthz", "/readyz"}

func TestPagesAreReadOnlyAndSaneForBrowsers(t *testing.T) {
	f := newFake()
	_, at := serve(t, f)
	for _, path := range paths {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
			answer, text := ask(t, method, at+path, "")
			if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d %s", method, path, answer.StatusCode, text)
			}
		}
		get, text := ask(t, "GET", at+path, "")
		head, nothing := ask(t, "HEAD", at+path, "")
		if head.StatusCode != get.StatusCode || nothing != "" || text == "" {
			t.Errorf("HEAD %s: %d and %d bytes, GET: %d and %d", path, head.StatusCode, len(nothing), get.StatusCode, len(text))
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		} {
			if got := get.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		policy := get.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
	for _, path := range []string{"/nothing", "/metrics/", "/v1/show/vrrp", "/v1/reload", "/debug/pprof/"} {
		if answer, _ := ask(t, "GET", at+path, ""); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	if calls := f.Calls(); len(calls) > 0 {
		t.Errorf("the router was told to do %q", calls)
	}
}

func TestANameThatPointsToTheLoopbackIsRefused(t *testing.T) {
	_, at := serve(t, newFake())
	_, port, _ := net.SplitHostPort(at)
	for host, want := range map[string]int{
		at: 200, "localhost:" + port: 200, "LOCALHOST": 200, "[::1]:" + port: 200, "10.0.0.1": 200,
		"evil.example:" + port: 421, "evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421,
	} {
		if answer, _ := ask(t, "GET", at+"/healthz", host); answer.StatusCode != want {
			t.Errorf("host %s: %d, want %d", host, answer.StatusCode, want)
		}
	}
}

func TestHealthzFollowsTheControlLoop(t *testing.T) {
	f := newFake()
	_, at := serve(t, f)
	if answer, text := ask(t, "GET", at+"/healthz", ""); answer.StatusCode != 200 || text != "ok\n" {
		t.Errorf("%d %q", answer.StatusCode, text)
	}
	f2 := newFake()
	f2.Hang = true
	_, at = serve(t, f2)
	if answer, text := ask(t, "GET", at+"/healthz", ""); answer.StatusCode != 503 || !strings.Contains(text, "has not turned") {
		t.Errorf("%d %q", answer.StatusCode, text)
	}
	if n := f2.statuses.Load(); n != 0 {
		t.Errorf("%d statuses were made for it", n)
	}
}

func TestReadyzNamesEachThingThatIsMissing(t *testing.T) {
	f := newFake()
	_, at := serve(t, f)
	answer, text := ask(t, "GET", at+"/readyz", "")
	want := "virtual router old is in Initialize: interface spare: device eth3 does not exist\n" +
		"BGP neighbor isp2 is in Active: connection refused\n"
	if answer.StatusCode != 503 || text != want {
		t.Errorf("%d %q, want %q", answer.StatusCode, text, want)
	}
	f = newFake()
	f.status.VirtualRouters, f.status.BGP = f.status.VirtualRouters[:3], f.status.BGP[:1]
	f.status.BGP[0].EndOfRIB = false
	_, at = serve(t, f)
	if answer, text := ask(t, "GET", at+"/readyz", ""); answer.StatusCode != 503 || !strings.Contains(text, "isp1 is Established and has not") {
		t.Errorf("%d %q", answer.StatusCode, text)
	}
	f = newFake()
	f.status.VirtualRouters, f.status.BGP = f.status.VirtualRouters[:3], f.status.BGP[:1]
	_, at = serve(t, f)
	if answer, text := ask(t, "GET", at+"/readyz", ""); answer.StatusCode != 200 || text != "ready\n" {
		t.Errorf("%d %q", answer.StatusCode, text)
	}
}

func TestARouterThatDoesNotAnswerIs503(t *testing.T) {
	f := newFake()
	f.err = errors.New("the router is shutting down")
	_, at := serve(t, f)
	for _, path := range paths {
		if answer, text := ask(t, "GET", at+path, ""); answer.StatusCode != 503 || !strings.Contains(text, "shutting down") {
			t.Errorf("%s: %d %q", path, answer.StatusCode, text)
		}
	}
}

// TestRequestsAtATimeAreLimited: while the router does not answer, eight wait and
// the others are refused at once.
func TestRequestsAtATimeAreLimited(t *testing.T) {
	f := newFake()
	f.release = make(chan struct{})
	s, at := serve(t, f)
	var wait sync.WaitGroup
	codes := make(chan int, maxRequests)
	for range maxRequests {
		wait.Go(func() {
			answer, _ := ask(t, "GET", at+"/metrics", "")
			codes <- answer.StatusCode
		})
	}
	for len(s.slots) < maxRequests {
		time.Sleep(time.Millisecond)
	}
	answer, text := ask(t, "GET", at+"/metrics", "")
	if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || !strings.Contains(text, "too many") {
		t.Errorf("one more: %d %q", answer.StatusCode, text)
	}
	if answer, text := ask(t, "GET", at+"/healthz", ""); answer.StatusCode != 200 {
		t.Errorf("healthz, meanwhile: %d %q", answer.StatusCode, text)
	}
	close(f.release)
	wait.Wait()
	for range maxRequests {
		if code := <-codes; code != 200 {
			t.Errorf("one of those that waited: %d", code)
		}
	}
	if n := f.statuses.Load(); n != 1 {
		t.Errorf("%d statuses were made for requests at the same time", n)
	}
}

func TestHeadersThatAreTooLargeAreRefused(t *testing.T) {
	_, at := serve(t, newFake())
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", 4*maxHeaderBytes))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("%q, %v", line, err)
	}
}

// TestHealthzDoesNotHaveTheLoopTurnAllTheTime: 2000 requests ask it once in 50 ms
// at most.
func TestHealthzDoesNotHaveTheLoopTurnAllTheTime(t *testing.T) {
	f := newFake()
	_, at := serve(t, f)
	began := time.Now()
	for range 2000 {
		if answer, text := ask(t, "GET", at+"/healthz", ""); answer.StatusCode != 200 {
			t.Fatalf("%d %q", answer.StatusCode, text)
		}
	}
	if most := int64(time.Since(began)/turnKept) + 2; f.turns.Load() > most || f.turns.Load() == 0 {
		t.Errorf("%d turns in %v", f.turns.Load(), time.Since(began))
	}
}
