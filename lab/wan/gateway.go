package wan

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/template"
	"time"

	"vrouter/internal/netlab"
)

// Priorities of the two gateways. Each of a router's sessions with its provider
// that is down takes off 60, and so does each default route that it has not.
const (
	priority1 = 200
	priority2 = 150
)

// gatewayPlan is what a router's configuration is made of.
type gatewayPlan struct {
	Name           string
	Priority       int
	LAN, Peer, WAN side // own ends, and the other router's on the LAN
	ISP            side
	ISPAS          int
	Socket         string
	Interval       time.Duration
}

//go:embed gateway.toml.tmpl
var gatewayText string

// gateway is one of the two routers.
type gateway struct {
	netlab.Vrouter
	plan   gatewayPlan
	frozen []int // pids, the guardian's first
}

func newGateway(l *netlab.Lab, binary string, h *netlab.Host, plan gatewayPlan) (*gateway, error) {
	plan.Socket = filepath.Join(l.Dir, plan.Name+".sock")
	plan.Interval = interval
	g := &gateway{plan: plan, Vrouter: netlab.Vrouter{
		Name: plan.Name, Binary: binary, Host: h, Socket: plan.Socket, Config: filepath.Join(l.Dir, plan.Name+".toml"),
	}}
	return g, fill(g.Config, gatewayText, plan)
}

// fill writes a file from a template.
func fill(path, text string, data any) error {
	t, err := template.New(filepath.Base(path)).Parse(text)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// kill kills the router process, whose guardian tells the others; then the
// guardian ends, so that it does not come back by itself.
func (g *gateway) kill() error {
	pid, err := g.RouterPID()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond) // it has spoken by now, and starts the next one in 80 ms
	_ = g.Process.Stop(stopPatience)  // it may say that its router has died: so it has
	g.Process = nil
	return nil
}

// freeze stops every process of the router in the middle of what it does, its
// guardian first: nobody says farewell, and all links stay up.
func (g *gateway) freeze() error {
	g.frozen = append([]int{g.Process.PID()}, g.Process.Children()...)
	return g.signal(syscall.SIGSTOP)
}

// thaw lets them go on, as if no time had passed.
func (g *gateway) thaw() error {
	slices.Reverse(g.frozen)
	return g.signal(syscall.SIGCONT)
}

func (g *gateway) signal(what syscall.Signal) (err error) {
	for _, pid := range g.frozen {
		err = errors.Join(err, syscall.Kill(pid, what))
	}
	return err
}

const stopPatience = 5 * time.Second

// freezes returns how often the router has found that it stood still for longer
// than others may wait for it (event freeze).
func (g *gateway) freezes() int {
	if g.Process == nil {
		return 0
	}
	return strings.Count(g.Process.Output(), " msg=freeze ")
}

// transitions returns how often the state of the router's virtual routers has
// changed.
func (g *gateway) transitions(ctx context.Context) (n uint64, err error) {
	var list []struct{ Transitions uint64 }
	err = g.Show(ctx, "vrrp", &list)
	for _, v := range list {
		n += v.Transitions
	}
	return n, err
}

// isMaster returns nil where the router is master in both families.
func (g *gateway) isMaster(ctx context.Context) error {
	var list []struct{ Name, State string }
	if err := g.Show(ctx, "vrrp", &list); err != nil {
		return err
	}
	for _, v := range list {
		if v.State != "Master" {
			return fmt.Errorf("%s says of itself as %s: %s, want Master", g.Name, v.Name, v.State)
		}
	}
	return nil
}

// leadsBy returns nil where the router's default routes lead to the given one's
// provider: straight there, or by that router.
func (g *gateway) leadsBy(ctx context.Context, by *gateway) error {
	wanted := []string{by.plan.ISP.V4.String(), by.plan.ISP.V6.String()}
	if by != g {
		wanted = []string{by.plan.LAN.V4.String(), by.plan.LAN.V6.String()}
	}
	var list []struct {
		Prefix   string
		NextHops []struct{ Via string }
	}
	if err := g.Show(ctx, "routes", &list); err != nil {
		return err
	}
	for i, prefix := range []string{"0.0.0.0/0", "::/0"} {
		at := slices.IndexFunc(list, func(r struct {
			Prefix   string
			NextHops []struct{ Via string }
		},
		) bool {
			return r.Prefix == prefix
		})
		if at < 0 || len(list[at].NextHops) != 1 || list[at].NextHops[0].Via != wanted[i] {
			return fmt.Errorf("%s does not reach %s by %s", g.Name, prefix, wanted[i])
		}
	}
	return nil
}

// session is a BGP session of a router, by its neighbour's name.
type session struct {
	of   *gateway
	name string
}

// providers are a router's sessions with its provider, inside those with the
// other router.
func (g *gateway) providers() []session { return []session{{g, "isp4"}, {g, "isp6"}} }
func (g *gateway) inside() []session    { return []session{{g, "peer4"}, {g, "peer6"}} }

// is returns nil where the session is up and complete, or is not, as wanted.
func (s session) is(ctx context.Context, up bool) error {
	var list []struct {
		Name, State string
		EndOfRIB    bool `json:"end_of_rib"`
	}
	if err := s.of.Show(ctx, "bgp", &list); err != nil {
		return err
	}
	for _, one := range list {
		if one.Name == s.name && (one.State == "Established" && one.EndOfRIB) != up {
			return fmt.Errorf("the session %s of %s is %s (End-of-RIB: %v)", s.name, s.of.Name, one.State, one.EndOfRIB)
		}
	}
	return nil
}

// lastWords returns the end of what a process has said.
func lastWords(of string, p *netlab.Process) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("\nLOG OF %s (%s)\n\n%s\n", of, filepath.Base(p.Args[0]), p.LastLines(60))
}
