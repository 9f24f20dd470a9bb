package daemon

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vrouter/config"
	"vrouter/control"
)

// reloadRig is a running router whose configuration a file has.
func reloadRig(t *testing.T, text string) (r *rig, write func(string)) {
	t.Helper()
	r = newRig(t, text)
	file := filepath.Join(t.TempDir(), "vrouter.toml")
	r.process.file = file
	// The rig has a socket of its own; a file that changed it would be refused.
	write = func(text string) {
		t.Helper()
		head := "[control]\nsocket = \"" + r.process.cfg.Control.Socket + "\"\n"
		if err := os.WriteFile(file, []byte(head+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.TrimPrefix(text, "[control]\n"))
	// The file has no name for the router: it is the host's, as at the start.
	cfg, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	r.process.cfg.Router.Name = cfg.Router.Name
	return r, write
}

func TestReloadAppliesAChangedPriorityAndCheckWithoutTransition(t *testing.T) {
	r, write := reloadRig(t, onLAN)
	r.start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	before, _ := r.client.VRRP(t.Context(), "gw")
	write(onLAN + `priority = 77
track = [{ check = "never", weight = 7 }]
[[check]]
name = "never"
exec = ["/bin/sh", "-c", "echo no; exit 3"]
interval = "20ms"
timeout = "20ms"
fall = 2
`)
	if err := r.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the new check is down and takes off its weight", func() bool {
		list, err := r.client.VRRP(t.Context(), "gw")
		return err == nil && list[0].Priority == 77 && list[0].EffectivePriority == 70
	})
	after, _ := r.client.VRRP(t.Context(), "gw")
	if after[0].Transitions != before[0].Transitions || after[0].State != "Master" {
		t.Errorf("%s after %d transitions, before %d", after[0].State, after[0].Transitions, before[0].Transitions)
	}
	list, err := r.client.Checks(t.Context())
	if err != nil || len(list) != 1 || list[0].State != "down" || list[0].Kind != "exec" {
		t.Errorf("%+v, %v", list, err)
	}
	write(onLAN)
	if err := r.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := r.client.Checks(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("a check that is gone: %+v, %v", list, err)
	}
}

func TestReloadOfABadFileChangesNothingAndNamesEveryMistake(t *testing.T) {
	r, write := reloadRig(t, onLAN)
	r.start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	write(onLAN + "priority = 300\ncolour = \"red\"\n")
	err := r.client.Reload(t.Context())
	var failed *control.Error
	if !errors.As(err, &failed) || failed.Status != 422 {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{":27: priority", ":28: unknown key \"colour\""} {
		if !strings.Contains(failed.Message, r.process.file+want) {
			t.Errorf("the answer does not say %s:\n%s", want, failed.Message)
		}
		if !strings.Contains(r.log.String(), strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("the log does not say %s:\n%s", want, r.log)
		}
	}
	if err := os.Remove(r.process.file); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Reload(t.Context()); !errors.As(err, &failed) || failed.Status != 422 || !strings.Contains(failed.Message, "no such file") {
		t.Errorf("without a file: %v", err)
	}
	write(strings.Replace(onLAN, "eth1", "eth7", 1))
	if err := r.client.Reload(t.Context()); !errors.As(err, &failed) || failed.Status != 409 || !strings.Contains(failed.Message, "restart") {
		t.Errorf("another device: %v", err)
	}
	if list, _ := r.client.VRRP(t.Context(), "gw"); len(list) != 1 || list[0].Priority != 100 || list[0].State != "Master" {
		t.Errorf("%+v", list)
	}
}

// manager is a service manager that takes notifications.
func manager(t *testing.T) (said func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vr")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		os.RemoveAll(dir)
	})
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "n"))
	var all strings.Builder
	return func() string {
		buffer := make([]byte, 4096)
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		for {
			n, err := c.Read(buffer)
			if err != nil {
				return all.String()
			}
			all.WriteString(string(buffer[:n]) + "|")
		}
	}
}

func TestSIGHUPReloadsAndTheServiceManagerIsTold(t *testing.T) {
	said := manager(t)
	r, write := reloadRig(t, onLAN)
	r.start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	await(t, "ready", func() bool { return said() == "READY=1|" })
	write(onLAN + "priority = 77\n")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the new priority", func() bool {
		list, err := r.client.VRRP(t.Context(), "gw")
		return err == nil && list[0].Priority == 77
	})
	await(t, "the manager hears of it", func() bool {
		return strings.HasPrefix(said(), "READY=1|RELOADING=1\nMONOTONIC_USEC=") && strings.HasSuffix(said(), "|READY=1|")
	})
}

func TestRemovedVirtualRouterTellsItsHooksOfItsEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "changes")
	hook := "[[notify]]\nexec = [\"/bin/sh\", \"-c\", 'echo $VROUTER_NAME $VROUTER_TO $VROUTER_VRID >>" + file + "']\n"
	other := strings.NewReplacer(`"gw"`, `"other"`, "vrid = 10", "vrid = 11", "192.0.2.1\"", "192.0.2.9\"").
		Replace(onLAN[strings.Index(onLAN, "[[vrrp]]"):])
	r, write := reloadRig(t, onLAN+other+hook)
	r.start()
	await(t, "Master of both", func() bool {
		list, err := r.client.VRRP(t.Context(), "")
		return err == nil && len(list) == 2 && list[0].State == "Master" && list[1].State == "Master"
	})
	write(onLAN + hook)
	if err := r.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the hook of the one that is gone", func() bool {
		text, _ := os.ReadFile(file)
		return strings.Contains(string(text), "other Initialize 11")
	})
	await(t, "it is gone", func() bool {
		list, err := r.client.VRRP(t.Context(), "")
		return err == nil && len(list) == 1 && list[0].State == "Master"
	})
}

func TestDrainIsHeldAndEnded(t *testing.T) {
	r := newRig(t, onLAN)
	r.start()
	await(t, "Master", func() bool { return r.state() == "Master" })
	if err := r.client.Drain(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	list, err := r.client.VRRP(t.Context(), "gw")
	if err != nil || list[0].EffectivePriority != 1 {
		t.Errorf("drained: %+v, %v", list, err)
	}
	if err := r.client.Drain(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	await(t, "Master with its own priority", func() bool {
		list, err := r.client.VRRP(t.Context(), "gw")
		return err == nil && list[0].EffectivePriority == 100 && list[0].State == "Master"
	})
}

func TestLoadConfigKeepsEveryMistakeApart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(file, []byte("a = 1\nb = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := loadConfig(file)
	var mistakes config.Errors
	if !errors.As(err, &mistakes) || len(mistakes) < 2 {
		t.Errorf("%v", err)
	}
	if _, err := loadConfig(file + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
