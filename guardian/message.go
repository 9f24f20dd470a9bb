package guardian

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// version is the first byte of each message. Both ends are the same program;
// it only tells a message from garbage.
const version = 1

// Bounds on what a message may hold. The guardian keeps no more than it was
// asked for within them.
const (
	messageMax = 60_000 // bytes
	nameMax    = 255    // bytes
	frameMax   = 10_000 // bytes
	textMax    = 10_000 // bytes
)

type kind uint8

// The kinds of messages, all from the router process to the guardian.
const (
	kindHello     kind = 1 + iota // first: how to watch it
	kindWill                      // frames to send when it is gone; none: withdrawn
	kindPort                      // a descriptor to send them by; none: withdrawn
	kindReady                     // everything is open and running
	kindStopping                  // it has begun to hand over, by order
	kindEnded                     // it has handed over; only its end is to come
	kindDying                     // it panics; only its end is to come
	kindReloading                 // it reads its configuration again; ready follows
	kindKeep                      // there is to be a companion process, or none any more
)

// Hello is how the router process wants to be watched, and how its log looks,
// in which the guardian writes as well.
type Hello struct {
	Watchdog time.Duration // it is dead when silent for longer
	JSON     bool          // log lines are JSON, else text
	Level    slog.Level
	Router   string // name of the router, in each line
}

// Will is what is sent when the router process has ended.
type Will struct {
	Name string // of the virtual router; another will of that name replaces this one
	Port uint16 // number of the port to send on
	// Lifetime bounds how late a will is sent that the guardian could not send
	// in time, being frozen itself: after that, others have taken over long ago.
	Lifetime time.Duration
	Frames   [][]byte // whole Ethernet frames; none: the will is withdrawn
}

// Loan is a descriptor for the guardian to send with.
type Loan struct {
	Port   uint16 // number of the port
	FD     int    // each write(2) is one frame; -1: withdrawn
	Header int    // zero bytes that each frame begins with
}

// message is a decoded message; the field of its kind is filled in. The
// descriptor of a loan comes beside it.
type message struct {
	kind  kind
	hello Hello
	will  Will
	loan  Loan
	most  time.Duration
	text  string // of kindKeep: for the companion; empty: there is to be none
}

var errMessage = errors.New("guardian: malformed message")

// append encodes a message. A will is cut at the frame that does not fit any
// more (see messageMax).
func (m *message) append(b []byte) []byte {
	start := len(b)
	b = append(b, version, byte(m.kind))
	switch m.kind {
	case kindHello:
		b = binary.BigEndian.AppendUint64(b, uint64(m.hello.Watchdog))
		b = append(b, flag(m.hello.JSON), byte(int8(m.hello.Level)))
		b = appendName(b, m.hello.Router)
	case kindEnded:
		b = binary.BigEndian.AppendUint64(b, uint64(m.most))
	case kindWill:
		b = binary.BigEndian.AppendUint16(b, m.will.Port)
		b = binary.BigEndian.AppendUint64(b, uint64(m.will.Lifetime))
		b = appendName(b, m.will.Name)
		for _, f := range m.will.Frames {
			if len(f) > frameMax || len(b)-start+2+len(f) > messageMax {
				break
			}
			b = binary.BigEndian.AppendUint16(b, uint16(len(f)))
			b = append(b, f...)
		}
	case kindKeep:
		text := m.text[:min(len(m.text), textMax)]
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
	case kindPort:
		b = binary.BigEndian.AppendUint16(b, m.loan.Port)
		b = append(b, byte(m.loan.Header), flag(m.loan.FD >= 0))
	}
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func appendName(b []byte, name string) []byte {
	name = name[:min(len(name), nameMax)]
	return append(append(b, byte(len(name))), name...)
}

// parse decodes a message. It refuses whatever append would not have made.
// Frames share b's memory.
func parse(b []byte) (m message, err error) {
	if len(b) < 2 || len(b) > messageMax || b[0] != version {
		return m, errMessage
	}
	r := reader{rest: b[2:]}
	m.kind = kind(b[1])
	switch m.kind {
	case kindReady, kindStopping, kindDying, kindReloading:
	case kindEnded:
		m.most = r.duration()
	case kindHello:
		m.hello.Watchdog = r.duration()
		m.hello.JSON = r.flag()
		m.hello.Level = slog.Level(int8(r.byte()))
		m.hello.Router = r.name()
		r.bad = r.bad || m.hello.Watchdog <= 0
	case kindWill:
		m.will.Port = r.uint16()
		m.will.Lifetime = r.duration()
		m.will.Name = r.name()
		for len(r.rest) > 0 && !r.bad {
			m.will.Frames = append(m.will.Frames, r.frame())
		}
	case kindKeep:
		m.text = string(r.take(int(r.uint16())))
		r.bad = r.bad || len(m.text) > textMax || strings.ContainsRune(m.text, 0)
	case kindPort:
		m.loan.Port = r.uint16()
		m.loan.Header = int(r.byte())
		m.loan.FD = -1
		if r.flag() {
			m.loan.FD = 0 // the real one comes beside
		}
	default:
		r.bad = true
	}
	if r.bad || len(r.rest) > 0 {
		return message{}, errMessage
	}
	return m, nil
}

// reader takes fields from the front of a message; bad once one was missing.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.bad = true
		r.rest = nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) flag() bool {
	b := r.byte()
	r.bad = r.bad || b > 1
	return b == 1
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// duration is not negative.
func (r *reader) duration() time.Duration {
	b := r.take(8)
	if b == nil {
		return 0
	}
	d := time.Duration(binary.BigEndian.Uint64(b))
	r.bad = r.bad || d < 0
	return d
}

func (r *reader) name() string { return string(r.take(int(r.byte()))) }

// frame is at least an Ethernet header.
func (r *reader) frame() []byte {
	f := r.take(int(r.uint16()))
	r.bad = r.bad || len(f) < 14 || len(f) > frameMax
	return f
}
