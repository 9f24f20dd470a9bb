package neigh

import (
	"container/heap"
	"time"
)

// queue is a list of entries in the order in which they joined. An entry is in
// at most one queue. The zero value is empty.
type queue struct {
	first, last *entry
	len         int
}

// push appends an entry that is in no queue.
func (q *queue) push(e *entry) {
	e.queue, e.prev, e.next = q, q.last, nil
	if q.last != nil {
		q.last.next = e
	} else {
		q.first = e
	}
	q.last = e
	q.len++
}

// leave takes the entry out of the queue that it is in, if any.
func (e *entry) leave() {
	q := e.queue
	if q == nil {
		return
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		q.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		q.last = e.prev
	}
	q.len--
	e.queue, e.prev, e.next = nil, nil, nil
}

// timers is a heap of entries by due.
type timers []*entry

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	e := x.(*entry)
	e.index = len(*t)
	*t = append(*t, e)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(*t) - 1
	e := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	return e
}

// schedule changes when the entry is due.
func (c *Cache) schedule(e *entry, due time.Time) {
	e.due = due
	heap.Fix(&c.timers, e.index)
}

// pacer lets events through at a rate, with bursts (a virtual-scheduling leaky
// bucket). The zero value has its whole burst to spend.
type pacer struct {
	next time.Time // when an event is due that keeps to the rate exactly
}

// take reports whether an event may happen now, and counts it if so.
func (p *pacer) take(now time.Time, interval time.Duration, burst int) bool {
	next := later(p.next, now)
	if next.Sub(now) > interval*time.Duration(burst-1) {
		return false
	}
	p.next = next.Add(interval)
	return true
}

// reserve counts an event and returns when it may happen: now, or later.
func (p *pacer) reserve(now time.Time, interval time.Duration, burst int) time.Time {
	next := later(p.next, now)
	p.next = next.Add(interval)
	return later(next.Add(-interval*time.Duration(burst-1)), now)
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
