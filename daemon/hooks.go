package daemon

import (
	"time"

	"vrouter/config"
	"vrouter/hook"
	"vrouter/program"
	"vrouter/router"
)

// openHooks makes what runs an operator's programs, and the hooks.
func (d *process) openHooks() error {
	d.programs = program.NewLauncher()
	d.later(d.programs.Close)
	d.hooks = hook.New(d.programs.Run, d.log,
		"VROUTER_ROUTER="+d.cfg.Router.Name, "VROUTER_SOCKET="+d.cfg.Control.Socket)
	d.hooks.Set(d.cfg.Notify)
	return nil
}

// endHooks gives those of the last changes their time.
func (d *process) endHooks() {
	if err := d.hooks.Close(hooksTime(d.loop.driver.cfg.Notify)); err != nil {
		d.log.Warn(err.Error(), "remedy", "a shorter timeout of [[notify]] ends them sooner")
	}
}

// notice takes an event: for the log, for "show events", for the hooks.
func (d *driver) notice(e router.Event) {
	e.Sequence = d.notes.add(e)
	if change, ok := hookChange(d.known, &e); ok {
		d.hooks.Add(change)
	}
}

// shutdownHooks bounds what hooks of the last changes get beyond the longest
// time-out of one hook: each program started in time can use its own.
const shutdownHooks = 500 * time.Millisecond

// adopt takes a configuration as the one that the router works by. Virtual
// routers that it removes are remembered: their last change is still to come.
func (d *driver) adopt(cfg *config.Config) {
	d.cfg = cfg
	d.bfdPort.hold(cfg)
	for i := range cfg.VRRP {
		d.known[cfg.VRRP[i].Name] = &cfg.VRRP[i]
	}
}

// hookChange turns an event into what hooks are told, and is false for events
// that are no change of a virtual router's state: those have none.
func hookChange(known map[string]*config.VRRP, e *router.Event) (hook.Change, bool) {
	v := known[e.Name]
	if e.Kind != "vrrp" || !isState(e.From) || !isState(e.To) || e.From == e.To || v == nil {
		return hook.Change{}, false
	}
	family := "ipv4"
	if v.IPv6() {
		family = "ipv6"
	}
	return hook.Change{
		Event: e.Kind, Name: e.Name, From: e.From, To: e.To, Reason: e.Reason,
		Interface: v.Interface, Family: family, Group: v.Group, VRID: v.VRID, Priority: e.Priority,
		Sequence: e.Sequence, Time: e.Time,
	}, true
}

// isState reports whether an event's text is a state of VRRP: "draining" is
// none, the router is Backup then.
func isState(text string) bool {
	return text == "Initialize" || text == "Backup" || text == "Master"
}

// hooksTime is how long the hooks of the last changes may take at the end.
func hooksTime(hooks []config.Notify) time.Duration {
	var longest time.Duration
	for _, h := range hooks {
		longest = max(longest, h.Timeout)
	}
	return longest + shutdownHooks
}
