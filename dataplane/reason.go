package dataplane

// Reason is why a frame was dropped; each has a counter of its own.
type Reason uint8

// String returns the reason's name in counters: lower case, words joined by
// underscores.
func (r Reason) String() string { return reasonNames[r] }

// The reasons.
const (
	ReasonNone Reason = iota
	NumReasons = iota
)

var reasonNames = [NumReasons]string{"none"}
