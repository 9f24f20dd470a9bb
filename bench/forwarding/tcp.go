package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// streams are the numbers of TCP streams at one time, by their measure.
var streams = []struct {
	measure string
	count   int
}{{"tcp1", 1}, {"tcp4", 4}}

// tcp measures iperf3's streams through the router, with the devices' offloads
// as they are by default.
func (v *visit) tcp(ctx context.Context) (figures, error) {
	f := figures{}
	for _, s := range streams {
		rate, err := v.stream(ctx, s.count)
		if err != nil {
			return f, err
		}
		f[s.measure] = rate
	}
	return f, nil
}

func (v *visit) stream(ctx context.Context, count int) (float64, error) {
	server, err := v.sink.Start("iperf3", "--server", "--one-off", "--forceflush")
	if err != nil {
		return 0, err
	}
	defer server.Kill()
	for end := time.Now().Add(startPatience); !strings.Contains(server.Output(), "listening"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return 0, fmt.Errorf("iperf3's server does not listen:\n%s", server.Output())
		}
	}
	limit, cancel := context.WithTimeout(ctx, v.o.length+startPatience)
	defer cancel()
	out, err := v.gen.Run(limit, "iperf3", "--client", sinkAddr.String(), "--json",
		"--parallel", fmt.Sprint(count), "--time", fmt.Sprint(max(1, int(v.o.length.Seconds()+0.5))),
		"--connect-timeout", "3000")
	rate, parsed := received([]byte(out))
	return rate, errors.Join(parsed, err)
}

// received returns the bits a second that iperf3's report says to have arrived.
func received(text []byte) (float64, error) {
	var r struct {
		Error string
		End   struct {
			Sum struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	switch err := json.Unmarshal(text, &r); {
	case err != nil:
		return 0, fmt.Errorf("iperf3's report: %w", err)
	case r.Error != "":
		return 0, errors.New("iperf3: " + r.Error)
	case r.End.Sum.Rate <= 0:
		return 0, errors.New("iperf3 reports that nothing arrived")
	}
	return r.End.Sum.Rate, nil
}

func iperf3() bool {
	_, err := exec.LookPath("iperf3")
	return err == nil
}
