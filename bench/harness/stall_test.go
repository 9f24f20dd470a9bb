package harness

import (
	"testing"
	"time"
)

func TestStallsAreThoseOfTheMachine(t *testing.T) {
	s := NewStalls()
	time.Sleep(20 * stallPeriod)
	longest, _ := s.Stop()
	if longest <= 0 || longest > time.Minute {
		t.Errorf("woke %v late", longest)
	}
}
