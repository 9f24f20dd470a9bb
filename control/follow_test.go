package control

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"vrouter/router"
)

// A program that remembers the last number that it has seen misses nothing and
// sees nothing twice, however often it comes anew while events go on.
func TestFollowersFromAnyNumberSeeEachEventOnceAndInOrder(t *testing.T) {
	const total = 1000 // as many as are kept
	log, _, path := serve(t, nil)
	go func() {
		for n := range total {
			log.Append(router.Event{Name: fmt.Sprint("event ", n+1)})
			if n%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	breakOff := errors.New("the program comes anew")
	for _, from := range []uint64{0, 1, 99, total - 1} {
		last, visits := from, 0
		for last < total {
			visits++
			want := last + 1 + uint64(visits*37%200)
			err := NewClient(path).FollowEvents(ctx, last, func(e router.Event) error {
				if e.Sequence != last+1 || e.Name != fmt.Sprint("event ", e.Sequence) {
					return fmt.Errorf("number %d (%s) after %d", e.Sequence, e.Name, last)
				}
				if last = e.Sequence; last >= want || last == total {
					return breakOff
				}
				return nil
			})
			if !errors.Is(err, breakOff) {
				t.Fatalf("from %d, visit %d: %v", from, visits, err)
			}
		}
	}
}

// Behind a number that is not there yet the stream waits for it.
func TestFollowerFromTheFutureWaits(t *testing.T) {
	log, _, path := serve(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := make(chan uint64, 1)
	enough := errors.New("enough")
	go func() {
		_ = NewClient(path).FollowEvents(ctx, 5, func(e router.Event) error {
			got <- e.Sequence
			return enough
		})
	}()
	for range 6 {
		time.Sleep(5 * time.Millisecond)
		log.Append(router.Event{})
	}
	select {
	case n := <-got:
		if n != 6 {
			t.Errorf("the first event above 5 is number %d", n)
		}
	case <-ctx.Done():
		t.Error("event 6 has not come")
	}
}
