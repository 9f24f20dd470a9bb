package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"vrouter/control"
)

// Limits of the time between two looks at the router. The shorter is no load to
// speak of for the control loop.
const (
	minTopInterval = 250 * time.Millisecond
	maxTopInterval = time.Minute
	answerTime     = 5 * time.Second // that the router has for one look
)

func (a *app) topCommand() *cobra.Command {
	m := topModel{interval: time.Second}
	var once bool
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch rates, load and drops on a live screen",
		Long: `A live screen of virtual routers, interfaces' rates, workers' load, drops by
reason, and events. Rates are those between two looks at the router.

Keys: q quit; p pause; s interfaces by traffic; 1 to 5 one part alone, with the
arrow keys to scroll, 0 all of them; + and - change the interval.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if m.interval < minTopInterval || m.interval > maxTopInterval {
				return &usageError{fmt.Sprintf("--interval %v: from %v to %v", m.interval, minTopInterval, maxTopInterval), cmd}
			}
			if !once && !isTerminal(a.stdout) {
				return &usageError{"the output is no terminal; add --once to get the screen as text, once", cmd}
			}
			return a.top(cmd.Context(), m, once)
		},
	}
	c.Flags().DurationVarP(&m.interval, "interval", "i", m.interval, "from one look at the router to the next")
	c.Flags().BoolVar(&once, "once", false, "write all of it once, of one interval, without a live screen")
	a.addSocketFlag(c)
	return c
}

// top looks at the router once before it takes the screen: why there is no
// answer is told as by every other command.
func (a *app) top(ctx context.Context, m topModel, once bool) error {
	client := a.client()
	m.source = a.socketPath()
	first, err := look(ctx, client, 0)
	if err != nil {
		return err
	}
	m.take(first)
	if once {
		return a.topOnce(ctx, client, m)
	}
	p := tea.NewProgram(&topScreen{topModel: m, app: a, client: client, ctx: ctx},
		tea.WithContext(ctx), tea.WithInput(a.stdin), tea.WithOutput(a.stdout), tea.WithEnvironment(os.Environ()),
		tea.WithoutSignalHandler())
	if _, err = p.Run(); errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil // a signal has ended it
	}
	return err
}

// topOnce writes the screen as text after one interval.
func (a *app) topOnce(ctx context.Context, client *control.Client, m topModel) error {
	select {
	case <-time.After(m.interval):
	case <-ctx.Done():
		return nil
	}
	second, err := look(ctx, client, m.sequence)
	if err != nil {
		return err
	}
	m.take(second)
	s := a.newScreen()
	for _, line := range m.lines(s.width(), 0, s.colour, a.now()) {
		s.WriteString(line + "\n")
	}
	return a.print(s)
}

// look asks the router for all that the screen shows, and the events since one
// that is known.
func look(ctx context.Context, c *control.Client, since uint64) (s *sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s = &sample{}
	if s.routers, err = c.VRRP(ctx, ""); err != nil {
		return nil, err
	}
	if s.events, err = c.Events(ctx, since); err != nil {
		return nil, err
	}
	// The counters that are compared come together, and the time with them.
	if s.interfaces, err = c.Interfaces(ctx); err != nil {
		return nil, err
	}
	if s.counters, err = c.Counters(ctx); err != nil {
		return nil, err
	}
	s.at = time.Now()
	return s, nil
}

// topScreen makes a program of the terminal of the model.
type topScreen struct {
	topModel
	app           *app
	client        *control.Client
	ctx           context.Context
	width, height int
}

// What happens to a topScreen beside keys.
type (
	looked struct {
		sample *sample
		err    error
	}
	due struct{}
)

// Init implements tea.Model: the first sample is there, the next one is due
// after an interval.
func (t *topScreen) Init() tea.Cmd { return t.wait() }

func (t *topScreen) wait() tea.Cmd {
	return tea.Tick(t.interval, func(time.Time) tea.Msg { return due{} })
}

func (t *topScreen) look() tea.Cmd {
	since := t.sequence
	return func() tea.Msg {
		s, err := look(t.ctx, t.client, since)
		return looked{s, err}
	}
}

// Update implements tea.Model. There is one look at a time: a router that is slow
// to answer is not asked faster.
func (t *topScreen) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch message := message.(type) {
	case tea.WindowSizeMsg:
		t.width, t.height = message.Width, message.Height
	case tea.KeyPressMsg:
		if t.press(message.String(), max(1, t.height/2)) {
			return t, tea.Quit
		}
	case due:
		if t.paused { // rates are those of the whole pause afterwards
			return t, t.wait()
		}
		return t, t.look()
	case looked:
		if message.err != nil {
			t.fail(message.err)
		} else {
			t.take(message.sample)
		}
		return t, t.wait()
	}
	return t, nil
}

// View implements tea.Model.
func (t *topScreen) View() tea.View {
	v := tea.NewView("")
	v.AltScreen = true
	if t.height > 0 {
		colour := t.app.colour()
		v.SetContent(strings.Join(t.lines(t.width, t.height, colour, t.app.now()), "\n"))
	}
	return v
}
