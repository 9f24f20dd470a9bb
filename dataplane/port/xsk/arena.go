package xsk

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// Arena hands out the Memory of the queues of several ports, so that as many of
// them as possible share one. Its methods may be called from any goroutine.
type Arena struct {
	queues int // expected
	mu     sync.Mutex
	memory *Memory
}

// NewArena returns an Arena for the number of queues that are expected.
func NewArena(queues int) *Arena { return &Arena{queues: max(queues, 1)} }

// Open opens a queue, as OpenQueue does, in the memory of the others where it has
// room and the device can share it.
func (a *Arena) Open(index, number int, native bool) (*Queue, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.memory != nil {
		q, err := OpenQueue(a.memory, index, number, native)
		if err == nil || !errors.Is(err, errRetired) && !errors.Is(err, errNoRoom) &&
			!errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EBADF) {
			return q, err
		}
	}
	m, err := NewMemory(a.queues * ReceiveBuffers)
	if err != nil {
		return nil, err
	}
	q, err := OpenQueue(m, index, number, native)
	if err != nil {
		m.Discard()
		return nil, err
	}
	a.memory = m
	return q, nil
}
