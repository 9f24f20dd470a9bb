package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"vrouter/internal/netlab"
)

// router is something that forwards between left0 and right0.
type router struct {
	name  string
	what  string
	start func(ctx context.Context, o *options, n *network) (*netlab.Process, error)
}

var routers = []*router{
	{"kernel", "Linux, ip_forward", startKernel},
	{"af_packet", "vrouter, AF_PACKET", vrouter("af_packet", "fast")},
	{"af_xdp", "vrouter, AF_XDP", vrouter("af_xdp", "fast")},
	{"tap", "vrouter, TAPs in bridges", vrouter("tap", "fast")},
	{"netstack", `vrouter, engine = "netstack": gVisor's forwarder`, vrouter("af_packet", "netstack")},
}

// startKernel makes the namespace itself the router.
func startKernel(ctx context.Context, _ *options, n *network) (*netlab.Process, error) {
	if err := n.router.Address(leftDevice, leftAddress+"/24"); err != nil {
		return nil, err
	}
	if err := n.router.Address(rightDevice, rightAddress+"/24"); err != nil {
		return nil, err
	}
	if err := n.router.Route(behind, sinkAddress, ""); err != nil {
		return nil, err
	}
	return nil, n.router.Sysctl("net/ipv4/ip_forward", "1")
}

//go:embed vrouter.toml.tmpl
var vrouterConfig string

var vrouterTemplate = template.Must(template.New("vrouter").Parse(vrouterConfig))

// vrouter returns how to start vrouter on the two devices.
func vrouter(attach, engine string) func(context.Context, *options, *network) (*netlab.Process, error) {
	return func(ctx context.Context, o *options, n *network) (*netlab.Process, error) {
		if attach == "tap" {
			for bridge, device := range map[string]string{"brl": leftDevice, "brr": rightDevice} {
				for _, line := range []string{
					"link add " + bridge + " type bridge", "link set " + bridge + " up",
					"link set " + device + " master " + bridge,
				} {
					if _, err := n.router.Run(ctx, append([]string{"ip"}, strings.Fields(line)...)...); err != nil {
						return nil, err
					}
				}
			}
		}
		dir, err := os.MkdirTemp(n.lab.Dir, "vrouter-")
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, "vrouter.toml")
		f, err := os.Create(file)
		if err != nil {
			return nil, err
		}
		err = vrouterTemplate.Execute(f, map[string]string{
			"Attach": attach, "Engine": engine, "Socket": filepath.Join(dir, "vrouter.sock"),
			"Left": leftAddress, "Right": rightAddress, "Sink": sinkAddress, "Behind": behind,
			"LeftDevice": leftDevice, "RightDevice": rightDevice,
		})
		f.Close()
		if err != nil {
			return nil, err
		}
		args := []string{o.binary, "run", "-c", file}
		if n.pinned {
			args = append([]string{"taskset", "-c", strconv.Itoa(routerCPU)}, args...)
		}
		p, err := n.router.Start(args...)
		if err != nil {
			return nil, err
		}
		if !answers(ctx, p, o.binary, filepath.Join(dir, "vrouter.sock")) {
			return nil, fmt.Errorf("vrouter does not start:\n%s", p.Output())
		}
		return p, nil
	}
}

// answers waits until vrouter answers on its socket.
func answers(ctx context.Context, p *netlab.Process, binary, socket string) bool {
	for range 100 {
		select {
		case <-p.Ended():
			return false
		default:
		}
		if exec.CommandContext(ctx, binary, "show", "interfaces", "--json", "-s", socket).Run() == nil {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

// build builds vrouter.
func build(ctx context.Context, into string) (string, error) {
	binary := filepath.Join(into, "vrouter")
	c := exec.CommandContext(ctx, "go", "build", "-o", binary, "vrouter/cmd/vrouter")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build vrouter: %w\n%s", err, out)
	}
	return binary, nil
}
