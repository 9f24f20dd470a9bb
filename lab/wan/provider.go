package wan

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"vrouter/internal/netlab"
)

// neighborPlan is a neighbour of a provider, over one link.
type neighborPlan struct {
	Name        string
	Local, Peer side
	AS          int
	Customer    bool // it gets the default route and announces the LAN; else the other way round
}

// providerPlan is what a provider's configuration is made of.
type providerPlan struct {
	Name      string
	RouterID  string
	AS        int
	Origin    bool // the default route begins here
	Neighbors []neighborPlan
	Dir       string // its files
}

// kind is a program, or several, that can be a provider.
type kind struct {
	name  string
	needs []string
	root  bool // it changes to another user, which a user namespace does not let it
	// programs returns the command lines, in the order of their start, and the
	// file that each makes when it is ready; the first configuration is written.
	programs func(p *providerPlan, path map[string]string) (commands [][]string, ready []string, err error)
}

func (k *kind) String() string { return k.name }

//go:embed bird.conf.tmpl
var birdText string

//go:embed bgpd.conf.tmpl
var bgpdText string

//go:embed provider.toml.tmpl
var providerText string

var bird = kind{
	name: "BIRD", needs: []string{"bird"},
	programs: func(p *providerPlan, path map[string]string) ([][]string, []string, error) {
		conf, ctl := filepath.Join(p.Dir, "bird.conf"), filepath.Join(p.Dir, "bird.ctl")
		command := []string{path["bird"], "-f", "-c", conf, "-s", ctl, "-P", filepath.Join(p.Dir, "bird.pid")}
		return [][]string{command}, []string{ctl}, fill(conf, birdText, p)
	},
}

var frr = kind{
	name: "FRR", needs: []string{"zebra", "bfdd", "bgpd"}, root: true,
	programs: func(p *providerPlan, path map[string]string) (commands [][]string, ready []string, err error) {
		texts := map[string]string{
			"zebra": "log stdout\n",
			"bfdd":  "log stdout\nbfd\n profile quick\n  receive-interval 100\n  transmit-interval 100\n  detect-multiplier 3\n !\n",
			"bgpd":  bgpdText,
		}
		for _, name := range []string{"zebra", "bfdd", "bgpd"} {
			conf := filepath.Join(p.Dir, name+".conf")
			err = errors.Join(err, fill(conf, texts[name], p))
			commands = append(commands, []string{
				path[name], "-f", conf, "-i", filepath.Join(p.Dir, name+".pid"),
				"-z", filepath.Join(p.Dir, "zserv"), "--vty_socket", p.Dir, "-P", "0",
			})
			ready = append(ready, filepath.Join(p.Dir, name+".vty"))
		}
		commands[1] = append(commands[1], "--bfdctl", filepath.Join(p.Dir, "bfdd.sock"))
		return commands, ready, err
	},
}

var plain = kind{
	name: "vrouter", needs: []string{"vrouter"},
	programs: func(p *providerPlan, path map[string]string) ([][]string, []string, error) {
		conf := filepath.Join(p.Dir, "vrouter.toml")
		return [][]string{{path["vrouter"], "run", "-c", conf}}, []string{filepath.Join(p.Dir, "sock")}, fill(conf, providerText, p)
	},
}

// provider is a network between the gateways and the remote host: one router.
type provider struct {
	plan      providerPlan
	kind      *kind
	host      *netlab.Host
	commands  [][]string
	ready     []string
	processes []*netlab.Process // those that run, in the order of commands
}

// providers makes isp1, isp2 and the Internet behind them.
func (n *network) providers(hosts map[string]*netlab.Host, o Options) (err error) {
	make := func(plan providerPlan, wanted *kind) *provider {
		p := &provider{plan: plan, kind: wanted, host: hosts[plan.Name]}
		err = errors.Join(err, p.prepare(n.lab, o))
		return p
	}
	n.isp1 = make(providerPlan{Name: "isp1", RouterID: isp1Cust.V4.String(), AS: isp1AS, Neighbors: []neighborPlan{
		{"customer", isp1Cust, r1WAN, ourAS, true}, {"upstream", isp1Up, netISP1, netAS, false},
	}}, &bird)
	n.isp2 = make(providerPlan{Name: "isp2", RouterID: isp2Cust.V4.String(), AS: isp2AS, Neighbors: []neighborPlan{
		{"customer", isp2Cust, r2WAN, ourAS, true}, {"upstream", isp2Up, netISP2, netAS, false},
	}}, &frr)
	n.net = make(providerPlan{Name: "net", RouterID: netSide.V4.String(), AS: netAS, Origin: true, Neighbors: []neighborPlan{
		{"isp1", netISP1, isp1Up, isp1AS, true}, {"isp2", netISP2, isp2Up, isp2AS, true},
	}}, &bird)
	return err
}

// prepare decides what the provider is made of, and writes its configuration.
func (p *provider) prepare(l *netlab.Lab, o Options) (err error) {
	// FRR's programs give root up, and need their files all the same.
	if err := os.Chmod(l.Dir, 0o755); err != nil {
		return err
	}
	p.plan.Dir = filepath.Join(l.Dir, p.plan.Name)
	if err := os.Mkdir(p.plan.Dir, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(p.plan.Dir, 0o777); err != nil {
		return err
	}
	path, missing := find(p.kind.needs)
	if o.Plain || missing || p.kind.root && netlab.SingleUser() {
		p.kind, path = &plain, map[string]string{"vrouter": o.Binary}
	}
	if p.kind != &plain { // the kernel forwards, by the routes that the program gives it
		if err := errors.Join(p.host.Sysctl("net/ipv4/ip_forward", "1"), p.host.Sysctl("net/ipv6/conf/all/forwarding", "1")); err != nil {
			return err
		}
	}
	p.commands, p.ready, err = p.kind.programs(&p.plan, path)
	return err
}

// find returns the paths of programs.
func find(programs []string) (path map[string]string, missing bool) {
	path = map[string]string{}
	for _, program := range programs {
		for _, candidate := range []string{program, "/usr/sbin/" + program, "/usr/lib/frr/" + program} {
			if at, err := exec.LookPath(candidate); err == nil {
				path[program] = at
				break
			}
		}
		missing = missing || path[program] == ""
	}
	return path, missing
}

func (p *provider) start() error {
	for i, command := range p.commands {
		os.Remove(p.ready[i])
		process, err := p.host.Start(command...)
		if err != nil {
			return err
		}
		p.processes = append(p.processes, process)
		if err := p.waitReady(i); err != nil {
			return err
		}
	}
	return nil
}

func (p *provider) waitReady(i int) error {
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(pollTime) {
		if _, err := os.Stat(p.ready[i]); err == nil {
			return nil
		}
		select {
		case <-p.processes[i].Ended():
			return fmt.Errorf("%s of %s ended: %w\n%s", p.commands[i][0], p.plan.Name, p.processes[i].Err(), p.processes[i].Output())
		default:
		}
	}
	return fmt.Errorf("%s of %s is not ready after %v", p.commands[i][0], p.plan.Name, settleTime)
}

func (p *provider) restart() error {
	for _, process := range slices.Backward(p.processes) {
		if err := process.Stop(stopPatience); err != nil {
			return fmt.Errorf("stop of %s: %w", p.plan.Name, err)
		}
	}
	p.processes = nil
	return p.start()
}

// block drops the TCP packets of BGP between the provider and its customer, and
// nothing else; unblock ends that.
func (p *provider) block() error {
	const rules = `table inet blocked {
	chain in { type filter hook input priority 0; iifname "cust" tcp dport 179 drop; iifname "cust" tcp sport 179 drop; }
	chain out { type filter hook output priority 0; oifname "cust" tcp dport 179 drop; oifname "cust" tcp sport 179 drop; }
}`
	return p.nft(rules)
}

func (p *provider) unblock() error { return p.nft("delete table inet blocked") }

func (p *provider) nft(script string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := p.host.Run(ctx, "nft", script)
	return err
}

// canBlock reports whether the program for block is there.
func canBlock() bool {
	_, missing := find([]string{"nft"})
	return !missing
}
