package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed" // the page's parts are in the program
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"vrouter/metrics"
	"vrouter/router"
	"vrouter/vrrp"
)

// eventsShown is how many of the latest events the dashboard has.
const eventsShown = 25

var (
	//go:embed page/dashboard.html
	pageText string
	//go:embed page/style.css
	pageStyle string
	//go:embed page/refresh.js
	pageScript string
)

// pagePolicy lets a browser apply the page's own style and script, known by their
// hashes, and ask this router again; nothing else (https://www.w3.org/TR/CSP3/).
var pagePolicy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; "+
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'", hash(pageStyle), hash(pageScript))

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// page is compiled once: an error in it would be found by any test.
var page = template.Must(template.New("dashboard").Funcs(template.FuncMap{
	"tone": tone, "family": family, "bytes": byteCount, "ago": ago,
	"count": func(n any) string { // uint64, or int
		if i, ok := n.(int); ok {
			return count(i)
		}
		return count(n.(uint64))
	},
	"stamp": func(t time.Time) string { return t.Format(time.RFC3339) },
	"since": func(t, now time.Time) since { return since{t, ago(t, now)} },
	"lost":  func(f router.InterfaceStatus) string { return count(f.RX.Dropped + f.TX.Dropped) },
	"lostBy": func(w router.WorkerStatus) string {
		return count(w.Lost.Receiving + w.Lost.Sending)
	},
}).Parse(pageText))

// view is what the page shows.
type view struct {
	*metrics.Status
	Style   template.CSS
	Script  template.JS
	Now     time.Time
	States  []named // virtual routers by state
	Unready []string
	Workers []router.WorkerStatus
	Drops   []named // the most frequent first
	Events  []router.Event
}

// named is a number with its name.
type named struct {
	Name  string
	Count uint64
}

// since is a moment, and how long ago it was; empty: it has not been.
type since struct {
	Time time.Time
	For  string
}

// Summary is the page's title.
func (v *view) Summary() string {
	parts := make([]string, 0, len(v.States))
	for _, s := range v.States {
		parts = append(parts, fmt.Sprintf("%d %s", s.Count, s.Name))
	}
	if len(parts) == 0 {
		return "no virtual router"
	}
	return strings.Join(parts, ", ")
}

// dashboard answers with the page.
func (w *Server) dashboard(out http.ResponseWriter, r *http.Request) {
	s := w.status(out, r)
	if s == nil {
		return
	}
	v := newView(s, w.now())
	v.Events = w.latest(r.Context())
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil { // a bug: what it says must not go out half
		w.log.Error("dashboard not made", "error", err)
		answer(out, http.StatusInternalServerError, "the page could not be made; /metrics and vrouter show tell the same")
		return
	}
	out.Header().Set("Content-Type", "text/html; charset=utf-8")
	out.Header().Set("Content-Security-Policy", pagePolicy)
	_, _ = out.Write(b.Bytes()) // who has gone needs no answer
}

// latest returns the latest events, the newest first.
func (w *Server) latest(ctx context.Context) []router.Event {
	list, _, err := w.source.Events(ctx, 0)
	if err != nil {
		return nil // the rest of the page is worth showing
	}
	list = slices.Clone(list[max(0, len(list)-eventsShown):])
	slices.Reverse(list)
	return list
}

func newView(s *metrics.Status, now time.Time) *view {
	v := &view{
		Status: s, Style: template.CSS(pageStyle), Script: template.JS(pageScript),
		Now: now, Unready: unready(s), Workers: s.Counters.Workers,
	}
	for _, state := range []vrrp.State{vrrp.Master, vrrp.Backup, vrrp.Initialize} {
		n := named{Name: state.String()}
		for i := range s.VirtualRouters {
			if s.VirtualRouters[i].State == state {
				n.Count++
			}
		}
		if n.Count > 0 {
			v.States = append(v.States, n)
		}
	}
	for name, n := range s.Counters.Drops {
		if n > 0 {
			v.Drops = append(v.Drops, named{name, n})
		}
	}
	slices.SortFunc(v.Drops, func(a, b named) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	v.Drops = v.Drops[:min(len(v.Drops), 8)]
	return v
}

// tone is the colour that goes with the word of a state.
func tone(state string) string {
	switch state {
	case "Master", "Established", "Up", "up":
		return "good"
	case "Backup":
		return "calm"
	case "Initialize", "Init", "Connect", "Active", "OpenSent", "OpenConfirm":
		return "warn"
	case "Down", "down", "Idle":
		return "bad"
	}
	return "still"
}

// family writes an address family as people do.
func family(name string) string {
	switch name {
	case "ipv4":
		return "IPv4"
	case "ipv6":
		return "IPv6"
	}
	return name
}

// count writes a number in groups of three digits.
func count[N int | uint64](n N) string {
	digits := strconv.FormatUint(uint64(n), 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u202f') // a narrow space that does not break
		}
		b.WriteRune(d)
	}
	return b.String()
}

// byteCount writes a number of bytes with three digits, in powers of 1000.
func byteCount(n uint64) string {
	value, unit := float64(n), 0
	for value >= 999.5 && unit < 6 {
		value /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	digits := 2 - min(2, len(strconv.Itoa(int(value)))-1)
	return fmt.Sprintf("%.*f %sB", digits, value, [...]string{"", "k", "M", "G", "T", "P", "E"}[unit])
}

// ago writes how long ago a moment was, in its two largest units; empty where it
// has not been.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := max(now.Sub(t), 0)
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	}
	return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
}
