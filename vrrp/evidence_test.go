package vrrp

import (
	"testing"
	"time"
)

func TestDurationsAreWrittenForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                       "0 ms",
		361*ms + 400*us:         "361 ms",
		999*ms + 600*us:         "1 s",
		sec:                     "1 s",
		1805 * ms:               "1.805 s", // in binary a little more
		3*sec + 609*ms + 375*us: "3.609 s",
		100 * sec:               "100 s",
		10*time.Minute + 50*ms:  "600.05 s",
	} {
		if got := written(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
