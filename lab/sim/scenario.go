package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// outputIndent begins the lines of a scenario that are output.
const outputIndent = "    "

// script runs a scenario: a text of commands, one a line, which may be
// followed by the output that is expected of them, indented. testdata/README.md
// lists the commands.
type script struct {
	lab      *Lab
	seed     uint64
	families [2]bool
	period   time.Duration
	dense    time.Duration
	begun    bool
	recorded bool // the frames go into a digest
	traced   int  // lines of the trace that "trace" has shown
}

// RunScenario runs a scenario and returns it with the output that its commands
// gave now. An error tells of a command that cannot be, an expectation that
// was not met, or what the checkers found.
func RunScenario(text string) (string, error) { return newScript().play(text) }

func newScript() *script {
	return &script{seed: 1, families: [2]bool{true, false}, period: 10 * time.Millisecond}
}

func (s *script) play(text string) (string, error) {
	var out strings.Builder
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(line, outputIndent) {
			continue
		}
		out.WriteString(line + "\n")
		command, _, _ := strings.Cut(line, "#")
		words := strings.Fields(command)
		if len(words) == 0 {
			continue
		}
		shown, err := s.do(words)
		for _, l := range shown {
			out.WriteString(outputIndent + l + "\n")
		}
		if err != nil {
			return out.String(), fmt.Errorf("line %d: %s: %w", i+1, line, err)
		}
	}
	if s.lab != nil && len(s.lab.Violations()) > 0 {
		return out.String(), fmt.Errorf("the checkers found:\n%s", strings.Join(s.lab.Violations(), "\n"))
	}
	return out.String(), nil
}

// network returns the lab, which the first command makes that needs it.
func (s *script) network() *Lab {
	if s.lab == nil {
		s.lab = NewLab(s.seed, s.families, s.period)
		s.lab.dense = s.dense
		if s.recorded {
			s.lab.Record()
		}
	}
	return s.lab
}

// do carries out a command and returns its output.
func (s *script) do(words []string) ([]string, error) {
	args := words[1:]
	switch words[0] {
	case "seed", "families", "probes":
		return nil, s.set(words[0], args)
	case "router":
		return nil, s.router(args)
	case "run":
		return nil, s.run(args)
	case "trace":
		lines := s.network().Trace[s.traced:]
		s.traced = len(s.lab.Trace)
		return lines, nil
	case "lost":
		return s.lab.lost(), nil
	case "expect":
		return nil, s.expect(args)
	}
	return nil, s.act(words[0], args)
}

// set sets what the network is made with.
func (s *script) set(what string, args []string) (err error) {
	if s.lab != nil {
		return fmt.Errorf("must come before the first router")
	}
	switch what {
	case "seed":
		s.seed, err = strconv.ParseUint(args[0], 10, 64)
	case "probes":
		if s.period, err = time.ParseDuration(args[0]); err == nil && len(args) > 1 {
			s.dense, err = time.ParseDuration(args[1])
		}
	case "families":
		s.families = [2]bool{slices.Contains(args, "IPv4"), slices.Contains(args, "IPv6")}
	}
	return err
}

// router adds one: NAME, then keys with values.
func (s *script) router(args []string) error {
	spec := DefaultSpec(args[0])
	for i := 1; i+1 < len(args); i += 2 {
		err := spec.set(args[i], args[i+1])
		if err != nil {
			return err
		}
	}
	_, err := s.network().Add(spec)
	return err
}

// run lets time pass; the first time it starts checks and probes.
func (s *script) run(args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	if !s.begun {
		s.begun = true
		s.network().Begin()
	}
	s.lab.Run(d)
	return nil
}

// expect compares: master NAME [VIRTUAL] | state NAME STATE [VIRTUAL].
func (s *script) expect(args []string) error {
	for _, v := range s.lab.checks.virtual {
		for _, n := range s.lab.Routers {
			if len(args) == 2 || args[len(args)-1] == v.name {
				if err := expectState(n, v.name, args); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func expectState(n *Node, virtual string, args []string) error {
	is := n.State(virtual)
	switch {
	case args[0] == "master" && (n.Name == args[1]) != (is == "Master"),
		args[0] == "state" && n.Name == args[1] && is != args[2]:
		return fmt.Errorf("%s of %s is %s", virtual, n.Name, is)
	}
	return nil
}

// act does something to the network: COMMAND ROUTER [SIDE or VIRTUAL] [value].
func (s *script) act(command string, args []string) error {
	if command == "heal" || command == "forget" {
		s.lab.act(action{kind: command, sides: sidesOf(args)})
		return nil
	}
	if len(args) == 0 {
		return fmt.Errorf("of which router?")
	}
	i := slices.IndexFunc(s.network().Routers, func(n *Node) bool { return n.Name == args[0] })
	if i < 0 {
		return fmt.Errorf("no router %s", args[0])
	}
	a := action{kind: command, router: i, sides: sidesOf(args[1:]), changes: args[1:]}
	if last := args[len(args)-1]; len(args) > 1 {
		a.virtual = last
		if share, err := strconv.ParseFloat(last, 64); err == nil {
			a.share = share
		}
		if by, err := time.ParseDuration(last); err == nil {
			a.by = by
		}
	}
	if !s.lab.act(a) {
		return fmt.Errorf("unknown command")
	}
	return nil
}

// sidesOf returns the sides that words name; both if they name none.
func sidesOf(words []string) []int {
	switch {
	case slices.Contains(words, "lan"):
		return []int{0}
	case slices.Contains(words, "wan"):
		return []int{1}
	}
	return []int{0, 1}
}

// lost returns a line for each flow: how many probes were lost since it was
// last asked, and over what time.
func (l *Lab) lost() []string {
	var lines []string
	for _, f := range l.flows {
		n, twice := 0, 0
		var longest, gap time.Duration
		end := len(f.probes)
		for end > f.reported && l.now.Sub(f.probes[end-1].sent) < transit {
			end--
		}
		for _, p := range f.probes[f.reported:end] {
			gap += l.period
			if p.copies > 0 {
				gap = 0
			} else {
				n++
			}
			if p.copies > 1 {
				twice++
			}
			longest = max(longest, gap)
		}
		lines = append(lines, fmt.Sprintf("%s: %d of %d lost, longest gap %v, %d twice", f.name, n, end-f.reported, longest, twice))
		f.reported = end
	}
	return lines
}
