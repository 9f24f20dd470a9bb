package web

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"vrouter/metrics"
)

// TestStatusesTakeATenthOfTheTimeAtMost: 1000 requests a second for a minute.
func TestStatusesTakeATenthOfTheTimeAtMost(t *testing.T) {
	for _, c := range []struct {
		took        time.Duration
		least, most int
	}{
		{0, 290, 300},                     // one in 200 ms
		{50 * time.Millisecond, 105, 112}, // 50 + 500 ms
		{2 * time.Second, 8, 10},          // 2 + 5 s
	} {
		synctest.Test(t, func(t *testing.T) {
			made := 0
			var k cache
			k.init(func(context.Context) (*metrics.Status, error) {
				time.Sleep(c.took)
				made++
				return &metrics.Status{}, nil
			})
			for range 60_000 {
				go func() {
					if s, err := k.status(t.Context()); s == nil && t.Context().Err() == nil {
						t.Errorf("no status: %v", err)
					}
				}()
				time.Sleep(time.Millisecond)
			}
			synctest.Wait()
			if made < c.least || made > c.most {
				t.Errorf("where one takes %v: %d were made in a minute, want %d to %d", c.took, made, c.least, c.most)
			}
			time.Sleep(mostAge) // the last in the making
		})
	}
}

func TestAFailureIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k cache
		failing := true
		k.init(func(context.Context) (*metrics.Status, error) {
			if failing {
				return nil, errors.New("no")
			}
			return &metrics.Status{}, nil
		})
		if _, err := k.status(t.Context()); err == nil {
			t.Error("no failure")
		}
		failing = false
		if s, err := k.status(t.Context()); err != nil || s == nil {
			t.Errorf("the next is %v, %v", s, err)
		}
	})
}

// TestWhoLeavesDoesNotSpoilItForOthers: the first who asks goes away.
func TestWhoLeavesDoesNotSpoilItForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k cache
		k.init(func(ctx context.Context) (*metrics.Status, error) {
			select {
			case <-time.After(time.Second):
				return &metrics.Status{}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		impatient, leave := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer leave()
		if _, err := k.status(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it got %v", err)
		}
		if s, err := k.status(t.Context()); err != nil || s == nil {
			t.Errorf("the other got %v, %v", s, err)
		}
	})
}
