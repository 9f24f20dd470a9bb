package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// job is what is measured in one session: one kind at one interval.
type job struct {
	kind     *kind
	interval time.Duration
	events   []*event
}

// calm is the interval from which a network may run beside others: its timers
// are so long that their work does not show.
const calm = time.Second

// jobs returns what is to be done, and notes in the report what cannot be.
func (o *options) jobs(rep *report) (list []*job) {
	for _, interval := range o.intervals {
		for _, k := range o.kinds {
			if rep.version(k) == "" || interval < k.smallest {
				continue
			}
			j := &job{kind: k, interval: interval}
			for _, e := range o.events {
				if e.needs == nil || e.needs(k) {
					j.events = append(j.events, e)
				}
			}
			list = append(list, j)
		}
	}
	return list
}

func countRows(jobs []*job) (n int) {
	for _, j := range jobs {
		n += len(j.events)
	}
	return n
}

// expected estimates how long a run takes: jobs with short intervals one after
// the other, those with long ones beside.
func (o *options) expected(jobs []*job) time.Duration {
	var short, long time.Duration
	for _, j := range jobs {
		d := 3 * time.Second
		for _, e := range j.events {
			// To rest, the event, until it is over, and back.
			one := 2500*time.Millisecond + 7*j.interval
			if e.hold != nil {
				one += e.hold(j.interval)
			}
			if e.prepare != nil {
				one += flowTime + 4*j.interval
			}
			d += time.Duration(o.repeat) * one
		}
		if j.interval >= calm {
			long += d
		} else {
			short += d
		}
	}
	return max(short, long/time.Duration(o.parallel))
}

// measure does the jobs: those with short intervals one after the other, and
// beside them those with long ones, some at a time.
func (o *options) measure(ctx context.Context, jobs []*job, rep *report) {
	short, long := make(chan *job, len(jobs)), make(chan *job, len(jobs))
	for _, j := range jobs {
		if j.interval >= calm {
			long <- j
		} else {
			short <- j
		}
	}
	close(short)
	close(long)
	var done sync.WaitGroup
	lane := func(queue <-chan *job) {
		defer done.Done()
		for j := range queue {
			o.do(ctx, j, rep)
		}
	}
	done.Add(1 + o.parallel)
	go lane(short)
	for range o.parallel {
		go lane(long)
	}
	done.Wait()
}

// attempts is how often a repetition is tried that could not be judged.
const attempts = 3

// do measures one job.
func (o *options) do(ctx context.Context, j *job, rep *report) {
	var s *session
	defer func() {
		if s != nil {
			s.close()
		}
	}()
	for _, e := range j.events {
		row := rep.row(j, e)
		for try := 0; len(row.Results) < o.repeat && try < o.repeat+attempts && ctx.Err() == nil; try++ {
			var err error
			if s == nil {
				if s, err = newSession(j.kind, j.interval); err != nil {
					row.failed(err)
					break
				}
			}
			r, err := s.repetition(ctx, e)
			if err == nil {
				row.Results = append(row.Results, r)
			} else if ctx.Err() == nil {
				row.failed(err)
			}
			if o.verbose {
				fmt.Printf("  %v %s %s: %s %v\n", j.interval, j.kind.name, e.id, r.short(), err)
			}
			if err != nil && !errors.Is(err, errUnjudged) {
				if o.verbose {
					fmt.Println(s.logs())
				}
				s.close() // in a fresh network it may be better
				s = nil
			}
		}
		rep.done(row)
	}
}
