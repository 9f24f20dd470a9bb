package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ago says how long before now a moment was; "-" for the zero time.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return lasting(now, t) + " ago"
}

// lasting says for how long something has been so; "-" for the zero time.
func lasting(now, since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return span(now.Sub(since))
}

// span writes a duration with its two largest units: "3m12s", "1d2h", "40ms".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return "0s"
	case d < time.Millisecond:
		return "<1ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	case d < time.Hour:
		return pair(d, time.Minute, "m", time.Second, "s")
	case d < day:
		return pair(d, time.Hour, "h", time.Minute, "m")
	}
	return pair(d, day, "d", time.Hour, "h")
}

func pair(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	s := fmt.Sprintf("%d%s", d/large, largeName)
	if rest := d % large / small; rest > 0 {
		s += fmt.Sprintf("%d%s", rest, smallName)
	}
	return s
}

// milliseconds writes a protocol's timer: "1s", "3.41s", "410ms".
func milliseconds(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }

// microseconds writes a measured time: "50us", "1.21ms".
func microseconds(us int64) string {
	d := time.Duration(us) * time.Microsecond
	return strings.Replace(d.String(), "µ", "u", 1)
}

// count writes a number of packets: exactly up to 99999, then "123.5M".
func count(n uint64) string {
	if n < 100_000 {
		return strconv.FormatUint(n, 10)
	}
	return scaled(n, "")
}

// size writes a number of bytes with decimal units: "999 B", "98.8 GB".
func size(n uint64) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10) + " B"
	}
	return scaled(n, " ") + "B"
}

// scaled writes n, at least 1000, with one decimal place and a unit prefix.
func scaled(n uint64, gap string) string {
	const prefixes = "kMGTPE"
	value, i := float64(n)/1000, 0
	for value >= 999.95 && i < len(prefixes)-1 {
		value, i = value/1000, i+1
	}
	return fmt.Sprintf("%.1f%s%c", value, gap, prefixes[i])
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// joined writes a list of addresses or prefixes.
func joined[T fmt.Stringer](list []T, separator string) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return strings.Join(texts, separator)
}
