package program

import (
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	keepBytes  = 1024     // of output: the last ones
	floodBytes = 1 << 20  // output beyond this is read slowly
	readBytes  = 64 << 10 // at a time
	floodPause = 10 * time.Millisecond
	lastRunes  = 120                    // of the last line
	openPipe   = 100 * time.Millisecond // longer than a floodPause, so that the rest is read
)

// output reads what a program writes for as long as it runs: a program whose
// output nobody takes would stand still. Of a flood only the end is kept, and
// it is read so slowly that it costs no CPU worth the name.
type output struct {
	tail []byte
	done chan struct{}
}

// follow reads from r in a goroutine of its own until its end.
func follow(r *os.File) *output {
	o := &output{done: make(chan struct{})}
	go func() {
		defer close(o.done)
		buffer, total := make([]byte, readBytes), 0
		for {
			n, err := r.Read(buffer)
			o.add(buffer[:n])
			if err != nil {
				return // the end, or last has had enough
			}
			if total += n; total > floodBytes {
				time.Sleep(floodPause)
			}
		}
	}()
	return o
}

func (o *output) add(b []byte) {
	o.tail = append(o.tail, b[max(0, len(b)-keepBytes):]...)
	if extra := len(o.tail) - keepBytes; extra > 0 {
		o.tail = append(o.tail[:0], o.tail[extra:]...)
	}
}

// last returns the last line. What has escaped the program's session may hold
// the pipe open for ever: it gets a moment and no more.
func (o *output) last(r *os.File) string {
	_ = r.SetReadDeadline(time.Now().Add(openPipe)) // a pipe can have one
	select {
	case <-o.done:
	case <-time.After(killGrace):
		return "" // it is still reading a flood that has not ended: no line is the last
	}
	return lastLine(string(o.tail))
}

// lastLine returns the last line that is not blank, printable and of a length
// that fits into a log and a table.
func lastLine(text string) string {
	text = strings.TrimRightFunc(text, unicode.IsSpace)
	text = strings.TrimLeftFunc(text[strings.LastIndexByte(text, '\n')+1:], unicode.IsSpace)
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
	if short := []rune(text); len(short) > lastRunes {
		text = string(short[:lastRunes]) + "..."
	}
	return text
}
