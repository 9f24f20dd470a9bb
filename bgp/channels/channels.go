// Package channels stands for github.com/eapache/channels, which its author has
// given up, as far as GoBGP uses that: a queue without bound between two channels.
// GoBGP puts each change of a best path into one, and stopped there until the
// queue's goroutine had taken it; here it goes on, for thousands of them
// (docs/decisions/0041-gobgp-queues.md).
package channels

// buffer is how many elements each of the two channels holds. Whoever puts in or
// takes out waits for the queue's goroutine once in as many.
const buffer = 1024

// InfiniteChannel is a queue without bound. What is put into In comes out of Out in
// the same order.
type InfiniteChannel struct {
	input, output chan any
	ask           chan chan<- int // for the length
	ended         chan struct{}
}

// NewInfiniteChannel returns an empty queue, whose goroutine ends when it is closed
// and empty.
func NewInfiniteChannel() *InfiniteChannel {
	c := &InfiniteChannel{
		input: make(chan any, buffer), output: make(chan any, buffer),
		ask: make(chan chan<- int), ended: make(chan struct{}),
	}
	go c.run()
	return c
}

// In returns where elements are put in.
func (c *InfiniteChannel) In() chan<- any { return c.input }

// Out returns where elements are taken out. It is closed after the last one of a
// closed queue.
func (c *InfiniteChannel) Out() <-chan any { return c.output }

// Len returns how many elements are in the queue.
func (c *InfiniteChannel) Len() int {
	answer := make(chan int, 1)
	select {
	case c.ask <- answer:
		return <-answer
	case <-c.ended:
		return len(c.output)
	}
}

// Close says that nothing more is put in.
func (c *InfiniteChannel) Close() { close(c.input) }

// run moves elements from one channel to the other, until the first is closed and
// all is out.
func (c *InfiniteChannel) run() {
	defer close(c.ended)
	defer close(c.output)
	var q queue
	for input := c.input; ; {
		// Nobody else takes out of the one, or puts into the other: neither waits.
		for n := len(input); n > 0; n-- {
			q.put(<-input)
		}
		for q.len() > 0 && len(c.output) < cap(c.output) {
			c.output <- q.first()
			q.drop()
		}
		var output chan<- any
		switch {
		case q.len() > 0:
			output = c.output
		case input == nil:
			return
		}
		select {
		case e, open := <-input:
			if !open {
				input = nil
				continue
			}
			q.put(e)
		case output <- q.first():
			q.drop()
		case answer := <-c.ask:
			answer <- q.len() + len(c.input) + len(c.output)
		}
	}
}

// queue is a row of elements.
type queue struct {
	elements []any
	at       int // of the first
}

func (q *queue) len() int { return len(q.elements) - q.at }

func (q *queue) put(e any) { q.elements = append(q.elements, e) }

// first returns the first element, nil where there is none.
func (q *queue) first() any {
	if q.len() == 0 {
		return nil
	}
	return q.elements[q.at]
}

// drop takes the first element off. Its memory, and that of those before it, is
// given back once they are as many as what is left.
func (q *queue) drop() {
	q.elements[q.at] = nil
	if q.at++; q.at < q.len() {
		return
	}
	if q.len() == 0 && cap(q.elements) > buffer {
		*q = queue{} // a burst is over: its memory with it
		return
	}
	n := copy(q.elements, q.elements[q.at:])
	clear(q.elements[n:])
	q.elements, q.at = q.elements[:n], 0
}
