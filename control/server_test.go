package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"vrouter/control"
	"vrouter/control/controltest"
)

// contract lists the fields that other programs rely on (DESIGN.md, section
// 5), with those of nested objects behind a dot. Fields are added, never taken
// away.
var contract = map[string]string{
	"vrrp": `name interface vrid family version state priority effective_priority preempt accept addresses
		virtual_mac advertisement_interval_ms master_down_interval_ms skew_time_ms master.address master.priority
		forwarding since transitions last_reason counters`,
	"interfaces": `name device attach mac mtu up addresses rx.packets rx.bytes rx.dropped tx.packets tx.bytes tx.dropped`,
	"routes":     `prefix source type metric nexthops`,
	"neighbors":  `address interface mac state age_ms`,
	"counters":   `drops punts icmp control workers timers forwarding`,
	"events":     `sequence time kind name from to reason`,
}

func get(t *testing.T, b control.Backend, method, target, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	control.NewServer(b).ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	if kind := w.Header().Get("Content-Type"); !strings.HasPrefix(kind, "application/") {
		t.Errorf("%s %s: Content-Type %q", method, target, kind)
	}
	return w.Code, w.Body.String()
}

func show(t *testing.T, b control.Backend, topic string) string {
	t.Helper()
	status, text := get(t, b, "GET", "/v1/show/"+topic, "")
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", topic, status, text)
	}
	return text
}

func TestEveryObjectHasTheFieldsOfTheContract(t *testing.T) {
	for topic, fields := range contract {
		text := show(t, controltest.New(), topic)
		if topic == "counters" {
			text = "[" + text + "]"
		}
		var objects []map[string]any
		if err := json.Unmarshal([]byte(text), &objects); err != nil {
			t.Fatal(topic, err)
		}
		if len(objects) == 0 {
			t.Errorf("%s: nothing to look at", topic)
		}
		for _, o := range objects {
			for _, field := range strings.Fields(fields) {
				if !has(o, field) {
					t.Errorf("show %s: no field %s in %v", topic, field, o)
				}
			}
		}
	}
}

func has(o map[string]any, field string) bool {
	first, rest, nested := strings.Cut(field, ".")
	v, found := o[first]
	if !found || !nested {
		return found
	}
	inner, isObject := v.(map[string]any)
	return isObject && has(inner, rest)
}

func TestValuesHaveTheFormsOfTheContract(t *testing.T) {
	for topic, parts := range map[string][]string{
		"vrrp": {
			`"state":"Master"`, `"state":"Backup"`, `"state":"Initialize"`, `"virtual_mac":"00:00:5e:00:01:0a"`,
			`"family":"ipv6"`, `"addresses":["fe80::1","2001:db8:1::1"]`, `"since":"2026-03-14T09:23:41.589Z"`,
			`"master":{"address":"198.51.100.3","priority":200}`, `"master":{"address":"","priority":0}`,
		},
		"interfaces": {`"addresses":["203.0.113.2/24"]`, `"mac":"02:00:5e:10:00:02"`, `"problem":"device eth3`},
		"routes": {
			`"prefix":"0.0.0.0/0","source":"static"`, `{"via":"203.0.113.1","interface":"wan","resolved":true}`,
			`{"via":"","interface":"lan","resolved":true}`,
		},
		"neighbors": {`"address":"192.0.2.10","interface":"lan","mac":"02:00:5e:10:00:10","state":"reachable"`},
		"counters":  {`"arp":{"accepted":5021,"dropped":17}`, `"foreign_mac":4711`},
		"events":    {`"kind":"vrrp","name":"lan4","from":"Backup","to":"Master","reason":"master down timer"`},
	} {
		text := show(t, controltest.New(), topic)
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("show %s: no %s in\n%s", topic, part, text)
			}
		}
	}
}

func TestNothingIsNull(t *testing.T) {
	bare := controltest.New()
	for i := range bare.VirtualRouters {
		bare.VirtualRouters[i].Addresses, bare.VirtualRouters[i].Counters = nil, nil
	}
	bare.InterfaceList[0].Addresses = nil
	bare.RouteList[0].NextHops = nil
	h := bare.CounterValues.Timers["vrrp_lateness"]
	h.UpToUS, h.Counts = nil, nil
	bare.CounterValues.Timers["vrrp_lateness"] = h
	for _, topic := range control.Topics() {
		for name, b := range map[string]*controltest.Fake{"idle": controltest.Idle(), "bare": bare} {
			text := show(t, b, topic)
			if strings.Contains(text, "null") {
				t.Errorf("%s: %s: %s", topic, name, text)
			}
			if name == "idle" && topic != "counters" && text != "[]\n" {
				t.Errorf("%s: %s", topic, text)
			}
		}
	}
	if bare.VirtualRouters[0].Counters != nil || bare.RouteList[0].NextHops != nil {
		t.Error("the server has changed the backend's own values")
	}
}

func TestShowSelects(t *testing.T) {
	_, text := get(t, controltest.New(), "GET", "/v1/show/vrrp?name=lan6", "")
	if strings.Count(text, `"vrid"`) != 1 || !strings.Contains(text, `"name":"lan6"`) {
		t.Error(text)
	}
	_, text = get(t, controltest.New(), "GET", "/v1/show/events?since=3", "")
	if strings.Count(text, `"sequence"`) != 1 || !strings.Contains(text, `"sequence":4`) {
		t.Error(text)
	}
	_, text = get(t, controltest.New(), "GET", "/v1/events?since=2", "")
	if lines := strings.Split(text, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], `{"sequence":4`) {
		t.Error(text)
	}
	_, text = get(t, controltest.New(), "GET", "/v1/show", "")
	if want := `["vrrp","interfaces","routes","neighbors","bgp","bfd","checks","counters","events"]` + "\n"; text != want {
		t.Error(text)
	}
}

var large = `{"name":"` + strings.Repeat("x", 70_000) + `"}`

var refusals = []struct {
	request, body string
	status        int
	message       string
}{
	{"GET /", "", 404, `"known ones: GET /v1/show, GET /v1/show/{topic}`},
	{"GET /v2/show/vrrp", "", 404, `unknown path`},
	{"GET /v1/show/", "", 404, `unknown path`},
	{"GET /v1/show/vrrp/lan4", "", 404, `unknown path`},
	{"GET /v1/show/weather", "", 404, `known ones: vrrp, interfaces, routes`},
	{"GET /v1/show/vrrp?name=x", "", 404, `{"error":"no virtual router \"x\"","remedy":"known ones: lan4, lan6, dmz4, old"}`},
	{"GET /v1/show/vrrp?name=", "", 404, `no virtual router \"\"`},
	{"GET /v1/show/vrrp?nam=x&age=1", "", 400, `"error":"unknown parameter age, nam","remedy":"known ones: name"`},
	{"GET /v1/show/routes?name=x", "", 400, `this path takes none`},
	{"GET /v1/show?x", "", 400, `this path takes none`},
	{"GET /v1/show/events?since=-1", "", 400, `since=-1 is not a number`},
	{"GET /v1/events?since=x", "", 400, `since=x is not a number`},
	{"GET /v1/events?follow=2", "", 400, `follow=1`},
	{"GET /v1/events?folow=1", "", 400, `unknown parameter folow`},
	{"POST /v1/show/vrrp", "", 405, `"remedy":"use GET"`},
	{"DELETE /v1/events", "", 405, `"remedy":"use GET"`},
	{"GET /v1/switchover", "", 405, `"remedy":"use POST"`},
	{"GET /v1/ping", "", 405, `"remedy":"use POST"`},
	{"POST /v1/switchover", "", 400, `has no body`},
	{"POST /v1/switchover", "lan4", 400, `one JSON object`},
	{"POST /v1/switchover", `["lan4"]`, 400, `one JSON object`},
	{"POST /v1/switchover", `{"name":"lan4"`, 400, `one JSON object`},
	{"POST /v1/switchover", `{"name":"lan4","now":true}`, 400, `unknown field`},
	{"POST /v1/switchover", `{"name":"lan4"}{}`, 400, `goes on behind`},
	{"POST /v1/switchover", `{"name":"lan4"} x`, 400, `goes on behind`},
	{"POST /v1/switchover", large, 413, `larger than`},
	{"POST /v1/switchover", `{"name":"x"}`, 404, `known ones: lan4`},
	{"POST /v1/drain", `{"stop":true}`, 400, `unknown field`},
	{"GET /v1/drain", "", 405, `"remedy":"use POST"`},
	{"POST /v1/ping", `{}`, 400, `ping without an address`},
	{"POST /v1/ping", `{"address":"gw"}`, 400, `one JSON object`},
	{"POST /v1/ping", `{"address":"0.0.0.0"}`, 400, `cannot ping`},
	{"POST /v1/ping", `{"address":"ff02::1"}`, 400, `cannot ping`},
	{"POST /v1/ping", `{"address":"::ffff:224.0.0.1"}`, 400, `cannot ping`},
	{"POST /v1/ping", `{"address":"192.0.2.1","count":-1}`, 400, `count out of range`},
	{"POST /v1/ping", `{"address":"192.0.2.1","interval_ms":9}`, 400, `interval out of range`},
	{"POST /v1/ping", `{"address":"192.0.2.1","interval_ms":9223372036854775807}`, 400, `interval out of range`},
	{"POST /v1/ping", `{"address":"192.0.2.1","timeout_ms":18446744073710}`, 400, `timeout out of range`},
	{"POST /v1/ping", `{"address":"192.0.2.1","size":65508}`, 400, `size out of range`},
	{"POST /v1/ping", `{"address":"192.0.2.1","count":1.5}`, 400, `one JSON object`},
}

func TestRefusalsSayWhatWouldBeRight(t *testing.T) {
	for _, test := range refusals {
		b := controltest.New()
		method, target, _ := strings.Cut(test.request, " ")
		status, text := get(t, b, method, target, test.body)
		if status != test.status || !strings.Contains(text, test.message) {
			t.Errorf("%s %.60s\n%d %s\nwant %d %s", test.request, test.body, status, text, test.status, test.message)
		}
		var e control.Error
		if err := json.Unmarshal([]byte(text), &e); err != nil || e.Message == "" {
			t.Errorf("%s: not an error in JSON: %s", test.request, text)
		}
		if calls := b.Calls(); len(calls) != 0 {
			t.Errorf("%s: refused, and done all the same: %s", test.request, calls)
		}
	}
}

func TestMethodNotAllowedNamesTheAllowedOne(t *testing.T) {
	w := httptest.NewRecorder()
	control.NewServer(controltest.New()).ServeHTTP(w, httptest.NewRequest("PUT", "/v1/switchover", nil))
	if w.Header().Get("Allow") != "POST" {
		t.Error(w.Header())
	}
}

func TestErrorsOfTheBackendKeepStatusAndRemedy(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		text   string
	}{
		{&control.Error{Status: 409, Message: "not Master", Remedy: "ask r2"}, 409, `{"error":"not Master","remedy":"ask r2"}`},
		{fmt.Errorf("loop: %w", &control.Error{Status: 404, Message: "gone"}), 404, `{"error":"gone"}`},
		{&control.Error{Message: "no status"}, 500, `{"error":"no status"}`},
		{&control.Error{Status: 200, Message: "odd"}, 500, `{"error":"odd"}`},
		{errors.New("disk on fire"), 500, `{"error":"disk on fire"}`},
		{context.DeadlineExceeded, 504, `the router did not answer within 2s`},
		{context.Canceled, 503, `the router is stopping`},
	} {
		b := controltest.New()
		b.Err = test.err
		for _, topic := range []string{"vrrp", "interfaces", "routes", "neighbors", "counters", "events"} {
			status, text := get(t, b, "GET", "/v1/show/"+topic, "")
			if status != test.status || !strings.Contains(text, test.text) {
				t.Errorf("%s: %v: %d %s", topic, test.err, status, text)
			}
		}
		b = controltest.New()
		b.Replies, b.PingError = nil, test.err
		status, text := get(t, b, "POST", "/v1/ping", `{"address":"192.0.2.1"}`)
		if status != test.status || !strings.Contains(text, test.text) {
			t.Errorf("ping: %v: %d %s", test.err, status, text)
		}
	}
}

func TestFailureWithinAStreamIsItsLastLine(t *testing.T) {
	b := controltest.New()
	b.PingError = errors.New("interface wan went down")
	status, text := get(t, b, "POST", "/v1/ping", `{"address":"203.0.113.1","count":9}`)
	lines := strings.Split(text, "\n")
	if status != 200 || len(lines) != 6 || lines[4] != `{"failed":{"error":"interface wan went down"}}` {
		t.Errorf("%d %s", status, text)
	}
	want := `{"sequence":1,"from":"203.0.113.1","size":64,"ttl":64,"time_us":312,"error":""}`
	if lines[0] != want {
		t.Error(lines[0])
	}
}

func TestReloadAndDrainAreOfferedWhereTheBackendCan(t *testing.T) {
	fake := controltest.New()
	for _, request := range [][2]string{{"reload", ""}, {"drain", ""}, {"drain", `{"end":true}`}, {"drain", `{}`}} {
		if status, text := get(t, fake, "POST", "/v1/"+request[0], request[1]); status != 200 || text != "{}\n" {
			t.Errorf("%s: %d %s", request, status, text)
		}
	}
	if want := []string{"reload", "drain", "drain --end", "drain"}; !slices.Equal(fake.Calls(), want) {
		t.Errorf("%q", fake.Calls())
	}
	neither := struct{ control.Backend }{fake}
	for _, action := range []string{"reload", "drain"} {
		if status, text := get(t, neither, "POST", "/v1/"+action, ""); status != 404 || !strings.Contains(text, "unknown path") {
			t.Errorf("%s: %d %s", action, status, text)
		}
	}
}

func FuzzRequestsNeverCrash(f *testing.F) {
	f.Add("POST", "/v1/switchover", `{"name":"lan4"}`)
	f.Add("POST", "/v1/ping", `{"address":"fe80::1%lan","count":0,"size":-1}`)
	f.Add("GET", "/v1/events?since=18446744073709551615", "")
	f.Add("GET", "/v1/show/vrrp?name=%00", "")
	f.Add("OPTIONS", "*", "")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequest(method, "http://vrouter"+target, strings.NewReader(body))
		if err != nil || strings.Contains(target, "follow") {
			return
		}
		b := controltest.New()
		b.PingError = io.EOF
		w := httptest.NewRecorder()
		r.RequestURI = target
		ctx, cancel := context.WithCancel(r.Context())
		cancel() // nothing waits
		control.NewServer(b).ServeHTTP(w, r.WithContext(ctx))
		if w.Code == 200 || w.Code/100 == 3 {
			return
		}
		var e control.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == "" {
			t.Errorf("%s %q: %d %s", method, target, w.Code, w.Body)
		}
	})
}
