package worker

import (
	"errors"
	"slices"

	"vrouter/dataplane/port"
	"vrouter/packet"
)

// Ports may come while a worker runs; they never go. First every worker gets a
// way out by a new port (AddOutput), then one of them its receive queues
// (AddInput), and only then a snapshot may have the port. Calls come from one
// goroutine at a time.

// AddOutput adds the way out by the port whose number is the next one.
func (w *Worker) AddOutput(t port.Transmitter) {
	outputs := append(slices.Clip(*w.outputs.Load()), t)
	w.outputs.Store(&outputs)
}

// errNoDescriptor says that a worker that runs cannot wait for a receiver.
var errNoDescriptor = errors.New("worker: a receiver that comes later needs a descriptor")

// AddInput adds a receive queue, which has a descriptor.
func (w *Worker) AddInput(in Input) error {
	fd := in.Receiver.FD()
	if fd < 0 {
		return errNoDescriptor
	}
	inputs := append(slices.Clip(*w.inputs.Load()), in)
	w.inputs.Store(&inputs)
	return w.register(fd)
}

// Inputs returns the number of receive queues.
func (w *Worker) Inputs() int { return len(*w.inputs.Load()) }

// reach brings the worker's own lists in step with the ways out that there are.
func (w *Worker) reach(outputs []port.Transmitter) {
	w.to = outputs
	for len(w.out) < len(outputs) {
		w.out = append(w.out, make([]*packet.Frame, 0, port.BatchMax))
	}
}
