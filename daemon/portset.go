package daemon

import (
	"slices"
	"sync/atomic"

	"vrouter/config"
	"vrouter/dataplane/port"
)

// attached is a port and the interface that it is of.
type attached struct {
	port.Port
	cfg *config.Interface
}

// portSet holds the ports by number. They are only ever added; any goroutine
// may read.
type portSet struct{ list atomic.Pointer[[]attached] }

// all returns the ports by number; the list is not to be changed.
func (s *portSet) all() []attached {
	if list := s.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (s *portSet) at(number uint16) attached { return s.all()[number] }

// add gives a port the next number.
func (s *portSet) add(p port.Port, cfg *config.Interface) {
	list := append(slices.Clip(s.all()), attached{p, cfg})
	s.list.Store(&list)
}

// set gives a port another interface.
func (s *portSet) set(number uint16, cfg *config.Interface) {
	list := slices.Clone(s.all())
	list[number].cfg = cfg
	s.list.Store(&list)
}
