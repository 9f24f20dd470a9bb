package channels

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
)

// comeOut takes out what there is until the queue's end: the numbers below total.
func comeOut(t *testing.T, c *InfiniteChannel, total int) {
	t.Helper()
	n := 0
	for e := range c.Out() {
		if e != n {
			t.Fatalf("element %d is %v", n, e)
		}
		n++
	}
	if n != total {
		t.Errorf("%d of %d elements", n, total)
	}
}

func TestElementsComeOutInOrderHoweverManyThereAre(t *testing.T) {
	const total = 300_000
	c := NewInfiniteChannel()
	for n := range total { // nobody takes any out
		c.In() <- n
	}
	c.Close()
	comeOut(t, c, total)
	if c.Len() != 0 { // nor does Len wait for ever
		t.Errorf("%d left", c.Len())
	}
}

func TestElementsComeOutInOrderWhileOthersGoIn(t *testing.T) {
	const total = 100_000
	c := NewInfiniteChannel()
	var both sync.WaitGroup
	both.Go(func() {
		for n := range total {
			c.In() <- n
		}
		c.Close()
	})
	comeOut(t, c, total)
	both.Wait()
}

func TestLenCountsWhatIsInAllItsParts(t *testing.T) {
	c := NewInfiniteChannel()
	defer c.Close()
	for n := range 5 * buffer {
		if got := c.Len(); got != n {
			t.Fatalf("%d elements, and Len is %d", n, got)
		}
		c.In() <- n
	}
	for n := 5 * buffer; n > 0; n-- {
		if got := c.Len(); got != n {
			t.Fatalf("%d elements, and Len is %d", n, got)
		}
		<-c.Out()
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	// The bubble ends only when all of its goroutines have.
	synctest.Test(t, func(t *testing.T) {
		empty, full := NewInfiniteChannel(), NewInfiniteChannel()
		full.In() <- 1
		synctest.Wait()
		empty.Close()
		full.Close()
		if _, more := <-empty.Out(); more {
			t.Error("something came out of an empty queue")
		}
		if e, more := <-full.Out(); e != 1 || !more {
			t.Error("what was in it is gone")
		}
		if _, more := <-full.Out(); more {
			t.Error("one too many")
		}
	})
}

func TestAQueueGivesMemoryBack(t *testing.T) {
	var q queue
	r := rand.New(rand.NewPCG(1, 2))
	in, out := 0, 0
	for range 200 {
		for range r.IntN(3000) {
			q.put(in)
			in++
		}
		for n := r.IntN(4000); n > 0 && q.len() > 0; n-- {
			if q.first() != out {
				t.Fatalf("element %d is %v", out, q.first())
			}
			q.drop()
			out++
		}
		if q.len() != in-out || len(q.elements) > 2*q.len()+1 {
			t.Fatalf("%d elements, of %d that there are, in room for %d", q.len(), in-out, len(q.elements))
		}
	}
	for q.len() > 0 {
		q.drop()
	}
	if cap(q.elements) > buffer {
		t.Errorf("an empty queue has room for %d", cap(q.elements))
	}
}
