package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"vrouter/internal/netlab"
)

// screen prints progress. On a terminal its last line is alive: it is
// rewritten a few times a second. Elsewhere a line appears now and then.
type screen struct {
	out      io.Writer
	terminal bool

	alive bool      // the live line stands on the terminal
	last  time.Time // when it was last written
}

// How often the state is shown while nothing else happens.
const (
	liveEvery  = 100 * time.Millisecond // on a terminal
	aliveEvery = 2 * time.Second        // elsewhere
)

// Colours of a terminal.
const (
	bold  = "1"
	dim   = "2"
	green = "32"
	red   = "31"
)

func (s *screen) paint(colour, text string) string {
	if !s.terminal {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// clear takes the live line away.
func (s *screen) clear() {
	if s.alive {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.alive = false
	}
}

func (s *screen) print(text string) {
	s.clear()
	fmt.Fprint(s.out, text)
	s.last = time.Now()
}

// step announces what happens now.
func (s *screen) step(at time.Duration, what string) {
	s.print(fmt.Sprintf("%5.1f s  %s\n", at.Seconds(), s.paint(bold, what)))
}

// outcome tells what the last step brought.
func (s *screen) outcome(r result) {
	var b strings.Builder
	fmt.Fprintf(&b, "         master: %s", r.to)
	if r.moved > 0 {
		fmt.Fprintf(&b, " after %s", milliseconds(r.moved))
	}
	if !r.setup {
		for i, family := range []string{"IPv4", "IPv6"} {
			fmt.Fprintf(&b, "   %s: %s", family, s.lossText(r.loss[i]))
		}
	}
	s.print(b.String() + "\n")
}

func (s *screen) lossText(loss netlab.Loss) string {
	if loss.Lost == 0 {
		return s.paint(green, "nothing lost")
	}
	return fmt.Sprintf("%d packets lost in %s", loss.Lost, milliseconds(loss.Gap))
}

// live shows the state of this moment.
func (s *screen) live(at time.Duration, master string, back4, back6 uint64, what string) {
	every := aliveEvery
	if s.terminal {
		every = liveEvery
	}
	if time.Since(s.last) < every {
		return
	}
	s.last = time.Now()
	if master == "" {
		master = "--"
	}
	line := fmt.Sprintf("%5.1f s  master: %-2s   came back: IPv4 %6d  IPv6 %6d   %s", at.Seconds(), master, back4, back6, what)
	if s.terminal {
		fmt.Fprint(s.out, "\r\x1b[K"+s.paint(dim, line))
		s.alive = true
	} else {
		fmt.Fprintln(s.out, line)
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
