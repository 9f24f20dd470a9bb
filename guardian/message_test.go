package guardian

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

var frame = bytes.Repeat([]byte{0xab}, 20)

// messages are all kinds, with their bytes.
var messages = []struct {
	name string
	m    message
	hex  string
}{
	{"hello", message{kind: kindHello, hello: Hello{Watchdog: 100 * time.Millisecond, JSON: true, Level: slog.LevelDebug, Router: "r1"}}, "01 01 0000000005f5e100 01 fc 02 7231"},
	{"will", message{kind: kindWill, will: Will{Name: "v", Port: 3, Lifetime: time.Second, Frames: [][]byte{frame}}}, "01 02 0003 000000003b9aca00 01 76 0014" + strings.Repeat("ab", 20)},
	{"will withdrawn", message{kind: kindWill, will: Will{Name: "v"}}, "01 02 0000 0000000000000000 01 76"},
	{"descriptor", message{kind: kindPort, loan: Loan{Port: 2, Header: 12}}, "01 03 0002 0c 01"},
	{"descriptor withdrawn", message{kind: kindPort, loan: Loan{Port: 2, FD: -1}}, "01 03 0002 00 00"},
	{"ready", message{kind: kindReady}, "01 04"},
	{"stopping", message{kind: kindStopping}, "01 05"},
	{"reloading", message{kind: kindReloading}, "01 08"},
	{"keep", message{kind: kindKeep, text: "r1"}, "01 09 0002 7231"},
	{"ended", message{kind: kindEnded, most: time.Second}, "01 06 000000003b9aca00"},
	{"dying", message{kind: kindDying}, "01 07"},
}

func TestMessagesByteByByte(t *testing.T) {
	for _, tt := range messages {
		t.Run(tt.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(tt.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.m.append(nil); !bytes.Equal(got, want) {
				t.Errorf("% x\nwant % x", got, want)
			}
			if got, err := parse(want); err != nil || !reflect.DeepEqual(got, tt.m) {
				t.Errorf("parsed %+v, %v\nwant %+v", got, err, tt.m)
			}
			for n := range want {
				if m, err := parse(want[:n]); err == nil && m.kind != kindWill {
					t.Errorf("cut to %d bytes it is still taken", n)
				}
			}
			if _, err := parse(append(want, 0)); err == nil {
				t.Error("a byte too many is taken")
			}
		})
	}
}

func TestMalformedMessages(t *testing.T) {
	for name, text := range map[string]string{
		"empty":              "",
		"another version":    "0202",
		"kind 0":             "0100",
		"a kind too many":    "010b",
		"watchdog 0":         "0101 0000000000000000 00 00 00",
		"negative watchdog":  "0101 8000000000000000 00 00 00",
		"a flag of 2":        "0104 0000 00 02",
		"a zero in a text":   "010a 0001 00",
		"text of 10001":      "010a 2711" + strings.Repeat("61", 10001),
		"a frame of 13":      "0103 0000 0000000000000000 00 000d" + strings.Repeat("00", 13),
		"a frame of 10001":   "0103 0000 0000000000000000 00 2711" + strings.Repeat("00", 10001),
		"name beyond end":    "0103 0000 0000000000000000 05 7631",
		"longer than 60,000": "0103 0000 0000000000000000 00" + strings.Repeat("000e"+strings.Repeat("00", 14), 4000),
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := parse(b); err == nil {
			t.Errorf("%s: taken as %+v", name, m)
		}
	}
}

func TestWillIsCutAtTheMessageSize(t *testing.T) {
	m := message{kind: kindWill, will: Will{Name: "v", Frames: slicesOf(frameMax, 10)}}
	got, err := parse(m.append(nil))
	if err != nil || len(got.will.Frames) != 5 {
		t.Errorf("%d frames of %d bytes, %v: want the five that fit", len(got.will.Frames), frameMax, err)
	}
}

func slicesOf(size, count int) (list [][]byte) {
	for range count {
		list = append(list, make([]byte, size))
	}
	return list
}

// FuzzParse: whatever comes, nothing but what append makes is taken.
func FuzzParse(f *testing.F) {
	for _, tt := range messages {
		f.Add(tt.m.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		if m.kind == kindPort && m.loan.FD < 0 {
			m.loan.FD = -1
		}
		if again := m.append(nil); !bytes.Equal(again, b) {
			t.Errorf("% x\nis taken for %+v, which is % x", b, m, again)
		}
	})
}
