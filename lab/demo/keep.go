package demo

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// keep leaves the lab running until ctx is done, and tells how to look
// around.
func (d *demo) keep(ctx context.Context) {
	d.screen.print(d.tour())
	master, _ := d.watch.agreed()
	marks := [2]uint64{d.streams[0].Next(), d.streams[1].Next()}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(pollTime):
		}
		now, _ := d.watch.agreed()
		d.screen.live(time.Since(d.start), now, d.streams[0].Returned(), d.streams[1].Returned(), "Ctrl-C ends the lab")
		if now == "" || now == master || !d.streams[0].Flowing(steadyCount) || !d.streams[1].Flowing(steadyCount) {
			continue
		}
		r := result{at: time.Since(d.start), from: master, to: now}
		for i, s := range d.streams {
			r.loss[i] = s.Loss(marks[i])
			marks[i] = s.Next()
		}
		d.screen.step(r.at, "another master")
		d.screen.outcome(r)
		master = now
	}
	d.screen.clear()
}

// tour returns the commands to look around with.
func (d *demo) tour() string {
	var b strings.Builder
	line := func(what, command string) { fmt.Fprintf(&b, "  # %s\n  %s\n", what, command) }
	b.WriteString("\nThe lab keeps running until Ctrl-C. From another terminal:\n\n")
	for _, m := range []*member{d.r1, d.r2} {
		line("what "+m.Name+" says", fmt.Sprintf("%s show vrrp -s %s", m.Binary, m.Socket))
	}
	line("through the gateway, from the host on the LAN", d.lan.EnterCommand()+" ping "+target4.String())
	line("a shell on the host on the LAN", d.lan.EnterCommand()+" sh")
	line("a shell on the upstream host", d.upstream.EnterCommand()+" sh")
	line("the advertisements, on the LAN", d.lan.EnterCommand()+" tcpdump -ni eth0 vrrp")
	if d.r1.Process != nil {
		if pid, err := d.r1.RouterPID(); err == nil {
			line("let r1's router crash", fmt.Sprintf("kill -9 %d", pid))
		}
		line("cut its power", fmt.Sprintf("kill -STOP %d; kill -9 $(pgrep -P %[1]d) %[1]d", d.r1.Process.PID()))
	}
	line("start r1 again, in that terminal", fmt.Sprintf("%s %s run -c %s", d.r1.Host.EnterCommand(), d.r1.Binary, d.r1.Config))
	line("configurations and logs", "ls "+d.lab.Dir)
	b.WriteString("\n")
	return b.String()
}
