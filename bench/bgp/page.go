package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// report is what was measured.
type report struct {
	options
	begin time.Time
	busy  string

	plain, ours []load
	standby     time.Duration
	both        [2]memory
	lost        []loss
}

func (r *report) tables() string   { return fmt.Sprintf("%+v\n", *r) }
func (r *report) markdown() string { return r.tables() }

// readLine returns what is in a file of /proc.
func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
