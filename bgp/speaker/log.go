package speaker

import (
	"context"
	"log/slog"
	"net/netip"
)

// listener is the handler of GoBGP's log. What GoBGP finds worth a warning goes
// to our log; the rest is for those who debug. Of that three lines are listened
// to, since nothing else tells why a connection does not come about, and nothing so
// early that a session has ended, or why.
type listener struct {
	next   slog.Handler
	failed func(peer, why string)
	ended  func(peer, why string)
	over   func(peer, why string) // has more prefixes than it may have
	up     func(peer netip.Addr) bool
	peer   string     // of a logger for one neighbour
	at     netip.Addr // the same
}

const (
	failedToConnect = "failed to connect"
	peerDown        = "Peer Down"
	limitReached    = "Administrative shutdown(Prefix limit reached)"
)

// Enabled implements slog.Handler. Of a neighbour whose session is established
// nothing below Info is listened to: GoBGP has a line for each update then.
func (l *listener) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || l.at.IsValid() && !l.up(l.at) || l.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (l *listener) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case failedToConnect:
		l.failed(l.peer, attribute(&r, "Error"))
	case limitReached:
		l.over(l.peer, "")
	case peerDown:
		l.ended(l.peer, attribute(&r, "Reason"))
	}
	level := slog.LevelDebug
	if r.Level >= slog.LevelError {
		level = slog.LevelWarn
	}
	if !l.next.Enabled(ctx, level) {
		return nil
	}
	r.Level = level
	return l.next.Handle(ctx, r)
}

// attribute returns an attribute of a record as text.
func attribute(r *slog.Record, key string) (text string) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			text = a.Value.String()
		}
		return true
	})
	return text
}

// WithAttrs implements slog.Handler.
func (l *listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *l
	for _, a := range attrs {
		if a.Key == "Key" {
			n.peer = a.Value.String()
			n.at, _ = netip.ParseAddr(n.peer)
		}
	}
	n.next = l.next.WithAttrs(attrs)
	return &n
}

// WithGroup implements slog.Handler.
func (l *listener) WithGroup(name string) slog.Handler {
	n := *l
	n.next = l.next.WithGroup(name)
	return &n
}
