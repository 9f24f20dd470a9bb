package main

import (
	"strings"
	"testing"
)

func TestReportsOfIperf3(t *testing.T) {
	const good = `{"start": {}, "intervals": [], "end": {"streams": [{}],
		"sum_sent": {"bits_per_second": 2e10, "retransmits": 5}, "sum_received": {"bits_per_second": 19876543210.5}}}`
	if got, err := received([]byte(good)); err != nil || got != 19876543210.5 {
		t.Errorf("%v %v", got, err)
	}
	for text, want := range map[string]string{
		`{"error": "unable to connect to server: Connection refused"}`: "refused",
		`{"end": {}}`: "nothing arrived",
		`{"end"`:      "iperf3's report",
		``:            "iperf3's report",
	} {
		if _, err := received([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
