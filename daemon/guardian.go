package daemon

import (
	"vrouter/config"
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
