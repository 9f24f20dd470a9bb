package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"vrouter/config"
	"vrouter/control"
	"vrouter/router"
)

// loadConfig reads a configuration file as a whole: an error of type
// config.Errors names every mistake as FILE:LINE.
func loadConfig(file string) (*config.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	cfg, err := config.Parse(file, text)
	if err != nil {
		return nil, err
	}
	if cfg.Router.Name == "" {
		if cfg.Router.Name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("router.name is not set, and the host's name is not known: %w", err)
		}
	}
	return cfg, nil
}

// reload reads the configuration file again and applies it as a whole, or
// returns an error and changes nothing. One runs at a time.
func (d *process) reload(ctx context.Context) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	// The guardian, if there is one, is who the service manager listens to.
	d.loop.post(func(time.Time) { d.guard.Reloading() })
	defer d.loop.post(func(time.Time) { d.guard.Ready() })
	// RELOADING=1 wants the time on CLOCK_MONOTONIC with it (sd_notify(3)).
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail
	d.systemd(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sd.SdNotifyReloading, now.Nano()/1000))
	defer d.systemd(sd.SdNotifyReady)
	cfg, err := d.reconfigure(ctx)
	if err != nil {
		d.refused(err)
		return err
	}
	d.log.Info("reloaded", "virtual_routers", len(cfg.VRRP))
	return nil
}

// refused writes why a reload was, each mistake of the file in a line.
func (d *process) refused(err error) {
	var mistakes config.Errors
	var one *control.Error
	if errors.As(err, &one) {
		d.log.Error("reload refused: the running configuration stays", "error", err, "remedy", one.Remedy)
		return
	}
	if !errors.As(err, &mistakes) {
		d.log.Error("reload refused: the running configuration stays", "error", err)
		return
	}
	for _, one := range mistakes {
		d.log.Error("reload refused: the running configuration stays", "error", one.Error())
	}
}

// reconfigure is the part of reload that can fail.
func (d *process) reconfigure(ctx context.Context) (*config.Config, error) {
	cfg, err := loadConfig(d.file)
	if err != nil {
		return nil, err
	}
	web, err := d.web.prepare(cfg.Control.Listen)
	if err != nil {
		return nil, err
	}
	// Once begun it is brought to its end: a caller that no longer waits must
	// not leave the checks of one configuration with the tracks of another.
	refused, err := ask(context.WithoutCancel(ctx), d.loop, func(now time.Time) error {
		actions, err := d.loop.router.Reconfigure(now, cfg)
		if err == nil {
			d.hooks.Set(cfg.Notify)
			d.loop.driver.adopt(cfg) // before its events come
			d.bgp.keep(cfg)
		}
		d.loop.driver.carryOut(actions)
		return err
	})
	if err = errors.Join(err, refused); err != nil {
		web.undo()
		return nil, err
	}
	web.commit()
	d.checks.Set(cfg.Checks)
	return cfg, nil
}

// Reload implements control.Reloader.
func (b *backend) Reload(ctx context.Context) error {
	err := b.reload(ctx)
	var mistakes config.Errors
	switch {
	case errors.As(err, &mistakes), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return &control.Error{
			Status: http.StatusUnprocessableEntity, Message: err.Error(),
			Remedy: "nothing was changed; mend the file and reload again",
		}
	case errors.Is(err, router.ErrRestart):
		return &control.Error{Status: http.StatusConflict, Message: err.Error()}
	}
	return err
}

// Drain implements control.Drainer.
func (b *backend) Drain(ctx context.Context, on bool) error {
	return b.loop.call(ctx, func(now time.Time) { b.loop.driver.carryOut(b.loop.router.Drain(now, on)) })
}

// BFD implements control.Backend.
func (b *backend) BFD(ctx context.Context) ([]router.BFDSession, error) {
	return ask(ctx, b.loop, func(time.Time) []router.BFDSession { return b.loop.router.BFDSessions() })
}

// Checks implements control.Backend.
func (b *backend) Checks(ctx context.Context) ([]router.CheckStatus, error) {
	return ask(ctx, b.loop, func(time.Time) []router.CheckStatus { return b.loop.router.Checks() })
}
