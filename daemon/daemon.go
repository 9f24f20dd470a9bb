// Package daemon is the router process: it opens the ports, runs the workers,
// the local stack and the control loop, and answers the control API. What the
// router decides is in package router; here are the threads, the sockets and
// the clock.
package daemon

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"vrouter/guardian"
)

// Options are what the command line says.
type Options struct {
	ConfigFile string
	Log        io.Writer // of the log; nil: stderr
	Version    string    // of the program, for its metrics
	// Guardian watches over this process; nil: nobody does.
	Guardian *guardian.Client
}

// spareThreads are beyond one for each CPU: the control loop and whoever
// returns from a system call find an idle P of the Go scheduler, so that busy
// workers do not hold up timers.
const spareThreads = 6

// Run is the router process: it returns nil after an orderly stop (ctx ended,
// or SIGTERM or SIGINT), else an error that names the remedy.
func Run(ctx context.Context, o Options) error {
	cfg, err := loadConfig(o.ConfigFile)
	if err != nil {
		return err
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	log, err := newLogger(o.Log, cfg.Log)
	if err != nil {
		return err
	}
	o.Guardian.Hello(hello(cfg))
	runtime.GOMAXPROCS(runtime.NumCPU() + spareThreads)
	debug.SetGCPercent(50) // a small heap: short collections while VRRP runs
	ballast := make([]byte, ballastSize)
	defer runtime.KeepAlive(ballast)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	defer outliveLogReader()()
	d, err := open(cfg, log.With("router", cfg.Router.Name), o.Guardian)
	if err != nil {
		return err
	}
	defer d.close()
	d.file, d.version = o.ConfigFile, o.Version
	return d.run(ctx)
}

// outliveLogReader keeps the router going when whoever reads its log ends: a
// Go program else dies of the first line that it writes into a closed pipe,
// without a word to the other routers. The signal is taken, not ignored, since
// programs that are started would inherit the latter.
func outliveLogReader() (undo func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	return func() { signal.Stop(c) }
}

// ballastSize counts as live with the garbage collector, and is never touched: it
// costs addresses and no memory. Half of it more garbage is collected at once, and
// therefore less often: a collection stops all threads for a moment twice, and on a
// machine whose CPUs others want that moment lasts until each of them has had one.
// Ten thousands of routes a second would have a small heap collected twenty times a
// second.
const ballastSize = 128 << 20
