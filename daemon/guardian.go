package daemon

import (
	"time"

	"vrouter/config"
	"vrouter/dataplane/port"
	"vrouter/guardian"
)

// hello says how the guardian is to watch this process.
func hello(cfg *config.Config) guardian.Hello {
	h := guardian.Hello{
		Watchdog: cfg.Router.Watchdog, JSON: cfg.Log.Format == "json", Router: cfg.Router.Name,
	}
	_ = h.Level.UnmarshalText([]byte(cfg.Log.Level)) // newLogger has read it before
	return h
}

// mourned runs what must not panic. Where it does, the guardian hears of it
// before the stack is written, which takes longer than others should be without
// a Master. Nothing is recovered.
func mourned(guard *guardian.Client, f func()) {
	returned := false
	defer func() {
		if !returned {
			guard.Dying()
		}
	}()
	f()
	returned = true
}

// lending keeps the guardian supplied with a descriptor to send by on a port's
// device as it is now.
type lending struct {
	loop   *loop
	number uint16
	port   port.Port
	index  int // of the device that the guardian can send on; 0: none
}

// follow looks at the device. It opens a socket, so it is not for the loop.
func (n *lending) follow() {
	lender, ok := n.port.(port.Lender)
	if !ok || n.loop.guard == nil {
		return
	}
	index := n.port.Status().Index
	if index == n.index {
		return
	}
	loan := port.Loan{FD: -1}
	if index != 0 {
		var err error
		if loan, err = lender.Lend(); err != nil {
			// Just gone, which Changed will tell; what else it is, is known by now.
			n.loop.log.Warn("the guardian cannot send a last will", "device", n.port.Status().Device, "error", err)
			loan.FD, index = -1, 0
		}
	}
	n.index = index
	n.loop.post(func(time.Time) {
		n.loop.guard.Lend(guardian.Loan{Port: n.number, FD: loan.FD, Header: loan.Header})
	})
}
