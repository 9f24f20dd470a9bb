package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"vrouter/internal/netlab"
)

// kind is a router that can be measured.
type kind struct {
	name, title string
	about       string                                                                      // for the report
	version     func() (string, error)                                                      // an error: it is not here
	start       func(ctx context.Context, n *network, pinned bool) (*netlab.Process, error) // no process: the kernel
	routes      bool                                                                        // lowers the TTL, as a router does
	arp         bool                                                                        // asks and answers by itself
	noTCP       string                                                                      // why TCP between the hosts does not work
	unbounded   bool                                                                        // no router at all
}

// kernelKind is what all others are compared with.
const kernelKind = "kernel"

// directKind is the bare cable, which is taken off CPU times.
const directKind = "direct"

var kinds = []*kind{
	{
		name: kernelKind, title: "Linux", about: "ip_forward, without netfilter",
		version: func() (string, error) { return kernelVersion(), nil },
		start:   startKernel, routes: true, arp: true,
	},
	vrouterKind("af_packet", "AF_PACKET"),
	vrouterKind("af_xdp", "AF_XDP"),
	vrouterKind("tap", "TAP"),
	testpmdKind("af_packet", "AF_PACKET", "qdisc_bypass=1"),
	testpmdKind("af_xdp", "AF_XDP", "force_copy=1,busy_budget=0"),
	l3fwdKind("af_packet", "AF_PACKET", "qdisc_bypass=1"),
	l3fwdKind("af_xdp", "AF_XDP", "force_copy=1,busy_budget=0"),
}

var direct = &kind{
	name: directKind, title: "bare cable", unbounded: true, arp: true,
	version: func() (string, error) { return kernelVersion(), nil },
	start:   func(context.Context, *network, bool) (*netlab.Process, error) { return nil, nil },
}

func startKernel(_ context.Context, n *network, _ bool) (*netlab.Process, error) {
	err := errors.Join(
		n.dut.Address(leftDevice, leftNet), n.dut.Address(rightDevice, rightNet),
		n.dut.Route(behind, sinkAddr.String(), ""))
	for _, key := range []string{"all", "default", leftDevice, rightDevice} {
		err = errors.Join(err, n.dut.Sysctl("net/ipv4/conf/"+key+"/rp_filter", "0"))
	}
	return nil, errors.Join(err, n.dut.Sysctl("net/ipv4/ip_forward", "1"))
}

//go:embed vrouter.toml.tmpl
var vrouterText string

var vrouterTemplate = template.Must(template.New("vrouter.toml").Parse(vrouterText))

// program is the vrouter program that is measured; keys are more TOML for each of
// its interfaces.
var program, keys string

func vrouterKind(attach, title string) *kind {
	k := &kind{
		name: "vrouter-" + attach, title: "vrouter, " + title, about: fmt.Sprintf("attach = %q, the rest as it is by default", attach),
		version: func() (string, error) { return vrouterVersion(attach) },
		routes:  true, arp: true,
	}
	if attach == "tap" {
		k.about += "; a Linux bridge joins each TAP with its cable"
	}
	k.start = func(_ context.Context, n *network, pinned bool) (*netlab.Process, error) {
		return startVrouter(n, attach, pinned)
	}
	return k
}

// vrouterVersion returns the program's version if it knows the attachment and
// may use it.
func vrouterVersion(attach string) (string, error) {
	dir, err := os.MkdirTemp("", "vrouter-forwarding-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "check.toml")
	if err := writeConfig(file, attach, dir); err != nil {
		return "", err
	}
	if out, err := exec.Command(program, "check", "-c", file).CombinedOutput(); err != nil {
		return "", fmt.Errorf("vrouter check: %s", strings.TrimSpace(string(out)))
	}
	if attach == "af_xdp" && netlab.SingleUser() {
		return "", errors.New("loading an XDP program needs root")
	}
	return firstLine(program, "version")
}

func writeConfig(file, attach, dir string) error {
	var text strings.Builder
	err := vrouterTemplate.Execute(&text, map[string]any{
		"Attach": attach, "Bridged": attach == "tap", "Socket": filepath.Join(dir, "vrouter.sock"),
		"Keys": keys, "Left": leftNet, "Right": rightNet, "Behind": behind, "Sink": sinkAddr,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text.String()), 0o600)
}

func startVrouter(n *network, attach string, pinned bool) (*netlab.Process, error) {
	file := filepath.Join(n.lab.Dir, "vrouter.toml")
	if err := writeConfig(file, attach, n.lab.Dir); err != nil {
		return nil, err
	}
	if attach == "tap" {
		err := errors.Join(n.dut.Bridge("br-left", leftDevice), n.dut.Bridge("br-right", rightDevice))
		if err != nil {
			return nil, err
		}
	}
	return n.begin(pinned, program, "run", "-c", file)
}

// begin starts a router's program, on its CPU or on all of them.
func (n *network) begin(pinned bool, args ...string) (*netlab.Process, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, err
	}
	args[0] = path
	if pinned {
		args = append([]string{"/proc/self/exe", pinFlag, fmt.Sprint(routerCPU)}, args...)
	}
	return n.dut.Start(args...)
}

// dpdkStart makes the start of one of DPDK's programs on the two devices.
func dpdkStart(path func() (string, error), driver, arguments string, lcores []string, application func(n *network, gen, sink net.HardwareAddr) []string) func(context.Context, *network, bool) (*netlab.Process, error) {
	return func(ctx context.Context, n *network, pinned bool) (*netlab.Process, error) {
		file, err := path()
		if err != nil {
			return nil, err
		}
		gen, err := n.gen.MAC(genDevice)
		if err != nil {
			return nil, err
		}
		sink, err := n.sink.MAC(sinkDevice)
		if err != nil {
			return nil, err
		}
		args := append([]string{file}, lcores...)
		args = append(args, "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", "--file-prefix", filepath.Base(n.lab.Dir))
		for i, dev := range []string{leftDevice, rightDevice} {
			if driver == "af_packet" {
				if err := n.dropAll(ctx, n.dut, dev, "meta protocol != 0"); err != nil {
					return nil, err
				}
			}
			args = append(args, fmt.Sprintf("--vdev=net_%s%d,iface=%s,%s", driver, i, dev, arguments))
		}
		return n.begin(false, append(append(args, "--"), application(n, gen, sink)...)...)
	}
}

func testpmdKind(driver, title, arguments string) *kind {
	path := func() (string, error) { return exec.LookPath("dpdk-testpmd") }
	return &kind{
		name: "testpmd-" + driver, title: "DPDK testpmd, " + title,
		about:   "forwards between two devices and writes new MAC addresses; looks no route up, keeps the TTL, polls all the time",
		noTCP:   noChecksums,
		version: func() (string, error) { return dpdkVersion(path, driver) },
		start: dpdkStart(path, driver, arguments, []string{"--lcores", fmt.Sprintf("0@%d,1@%d", senderCPU, routerCPU)},
			func(_ *network, gen, sink net.HardwareAddr) []string {
				return []string{
					"--forward-mode=mac", "--eth-peer=0," + gen.String(), "--eth-peer=1," + sink.String(), "--nb-cores=1",
					"--auto-start", "--stats-period", "3600", "--no-mlockall", "--total-num-mbufs=16384",
				}
			}),
	}
}

func l3fwdKind(driver, title, arguments string) *kind {
	path := func() (string, error) {
		if p, err := exec.LookPath("dpdk-l3fwd"); err == nil {
			return p, nil
		}
		return exec.LookPath("l3fwd")
	}
	return &kind{
		name: "l3fwd-" + driver, title: "DPDK l3fwd, " + title,
		about:   "routes by longest prefix match; its neighbours are given, it polls all the time",
		noTCP:   noChecksums,
		version: func() (string, error) { return dpdkVersion(path, driver) }, routes: true,
		start: dpdkStart(path, driver, arguments, []string{"-l", fmt.Sprint(routerCPU)},
			func(n *network, gen, sink net.HardwareAddr) []string {
				rules := filepath.Join(n.lab.Dir, "routes")
				// What is missing makes it say so, and end.
				os.WriteFile(rules, []byte("R192.0.2.0/24 0\nR198.51.100.0/24 1\nR"+behind+" 1\n"), 0o600)
				return []string{
					"-p", "3", "-P", "--lookup=lpm", "--config=(0,0," + fmt.Sprint(routerCPU) + "),(1,0," + fmt.Sprint(routerCPU) + ")",
					"--eth-dest=0," + gen.String(), "--eth-dest=1," + sink.String(), "--parse-ptype", "--no-numa",
					"--rule_ipv4=" + rules,
				}
			}),
	}
}

func dpdkVersion(path func() (string, error), driver string) (string, error) {
	file, err := path()
	if err != nil {
		return "", err
	}
	if netlab.SingleUser() {
		return "", errors.New("DPDK wants root")
	}
	if _, err := exec.LookPath("nft"); err != nil && driver == "af_packet" {
		return "", errors.New("it needs nft, which keeps the kernel off its devices")
	}
	return "DPDK, " + file, nil
}

const noChecksums = "it takes no notice of checksums that a host has left to its device"

// firstLine returns the first line of what a program prints.
func firstLine(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line, err
}
