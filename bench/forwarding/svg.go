package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Measures of the picture, in pixels.
const (
	pictureWidth = 900
	labelWidth   = 190
	barHeight    = 18
	barGap       = 5
	panelHead    = 46
	panelGap     = 18
	plotRight    = 150 // room for the numbers behind the bars
	plotWidth    = pictureWidth - labelWidth - plotRight
	pictureHead  = 52
)

// pictured are the measures that the picture shows.
var pictured = []string{"pps1", "pps10k", "ndr", "tcp1", "cost", "p50"}

// colours of routers, by the first word of their kind's name.
var colours = map[string]string{"kernel": "#8a8f98", "vrouter": "#1f77b4", "testpmd": "#c49a6c", "l3fwd": "#c49a6c"}

// svg draws a panel of bars for each measure; the kernel's is the line at 1.
func (rep *report) svg() string {
	var panels strings.Builder
	y := pictureHead
	for _, id := range pictured {
		for _, m := range measures {
			if m.id == id {
				y = rep.panel(&panels, m, y)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" role="img" aria-label="Forwarding figures of vrouter beside Linux">`+"\n",
		pictureWidth, y, pictureWidth, y)
	// A ground of its own: the page around may be dark.
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="#ffffff"/>`+"\n", pictureWidth, y)
	text(&b, 20, 32, 18, "#1b1f24", "start", "bold", "Forwarding, beside the kernel's own")
	text(&b, pictureWidth-20, 32, 12, "#57606a", "end", "normal",
		fmt.Sprintf("%s, %d CPUs, veth; medians of %d rounds, line: range", rep.Kernel, rep.CPUs, rep.Rounds))
	b.WriteString(panels.String())
	b.WriteString("</svg>\n")
	return b.String()
}

// panel draws a measure from y on, and returns where the next one begins.
func (rep *report) panel(b *strings.Builder, m *measure, y int) int {
	rows := rep.rows(m)
	if len(rows) == 0 {
		return y
	}
	what, direction := "ratio to the kernel", "more is better"
	if m.only {
		what = m.unit
	}
	if m.less {
		direction = "less is better"
	}
	text(b, 20, y+20, 14, "#1b1f24", "start", "bold", m.title)
	text(b, pictureWidth-20, y+20, 12, "#57606a", "end", "normal", what+", "+direction)
	top := y + panelHead - 14
	bottom := top + len(rows)*(barHeight+barGap)
	limit := bounds(m, rows)
	grid := func(mark float64, colour string) {
		x := float64(labelWidth) + mark/limit*plotWidth
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`+"\n", x, top-4, x, bottom, colour)
	}
	for _, mark := range marks(limit) {
		grid(mark, "#eaeef2")
	}
	if !m.only {
		grid(1, "#57606a")
	}
	for i, r := range rows {
		rep.bar(b, m, r, limit, top+i*(barHeight+barGap))
	}
	return bottom + panelGap
}

// shown is what a bar shows, with its range.
func (r row) shown(m *measure) (value, from, to float64) {
	if m.only {
		return r.value, r.from, r.to
	}
	return r.ratio, r.ratioFrom, r.ratioTo
}

func (rep *report) bar(b *strings.Builder, m *measure, r row, limit float64, y int) {
	value, from, to := r.shown(m)
	if math.IsNaN(value) {
		return
	}
	place := func(v float64) float64 { return labelWidth + min(max(v, 0), limit)/limit*plotWidth }
	family, _, _ := strings.Cut(r.kind.name, "-")
	text(b, labelWidth-8, y+13, 12, "#1b1f24", "end", "normal", r.kind.title)
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n",
		labelWidth, y, max(place(value)-labelWidth, 1), barHeight, colours[family])
	middle := y + barHeight/2
	if to > from {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#1b1f24" stroke-opacity="0.55" stroke-width="1.5"/>`+"\n",
			place(from), middle, place(to), middle)
	}
	label := fmt.Sprintf("%s %s", number(r.value), m.unit)
	if !m.only {
		label = fmt.Sprintf("%.2f  (%s)", r.ratio, label)
	}
	text(b, int(place(max(value, to)))+8, y+13, 12, "#1b1f24", "start", "normal", label)
}

// bounds returns the value at the plot's right edge.
func bounds(m *measure, rows []row) float64 {
	limit := 1.0
	for _, r := range rows {
		if value, _, to := r.shown(m); !math.IsNaN(value) {
			// One wild round must not make all bars short.
			limit = max(limit, value, min(to, 1.5*value))
		}
	}
	return limit
}

// marks are round numbers up to a limit, two to six of them.
func marks(limit float64) (list []float64) {
	const most = 6
	step := math.Pow(10, math.Floor(math.Log10(limit)))
	for _, part := range []float64{0.1, 0.2, 0.25, 0.5, 1, 2} {
		if limit/(step*part) <= most {
			step *= part
			break
		}
	}
	for i := 0; float64(i)*step <= limit*1.0001; i++ {
		list = append(list, float64(i)*step)
	}
	return list
}

func text(b *strings.Builder, x, y, size int, colour, anchor, weight, words string) {
	// The white edge keeps lines off the letters.
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="%d" fill="%s" text-anchor="%s" font-weight="%s" stroke="#ffffff" stroke-width="3" paint-order="stroke">%s</text>`+"\n",
		x, y, size, colour, anchor, weight, html.EscapeString(words))
}
