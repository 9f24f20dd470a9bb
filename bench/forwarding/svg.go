package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Sizes of the picture, in pixels.
const (
	svgWidth, svgMargin = 860, 20
	svgLabel, svgBar    = 230, 18
	svgGap, svgHead     = 22, 64
)

// colours of the routers beside the kernel, told apart also without colour vision.
var colours = map[string]string{"af_packet": "#0072b2", "af_xdp": "#009e73", "tap": "#e69f00", "netstack": "#999999"}

// svg draws each test as bars of the ratios to the kernel, on a logarithmic scale:
// twice and half are as far from the line at 1.
func (rep *report) svg() string {
	var b strings.Builder
	y := svgHead
	for _, t := range rep.options.tests {
		bars := rep.bars(t)
		if len(bars) == 0 {
			continue
		}
		better := "more is better"
		if t.less {
			better = "less is better"
		}
		height := len(bars) * svgBar
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", svgLabel-10, y+height/2, html.EscapeString(t.what))
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" class="small">%s</text>`+"\n", svgLabel-10, y+height/2+14, better)
		for _, bar := range bars {
			b.WriteString(bar.draw(y))
			y += svgBar
		}
		y += svgGap
	}
	return rep.frame(y) + b.String() + "</svg>\n"
}

// bar is one router's ratio.
type bar struct {
	name  string
	ratio float64
}

func (rep *report) bars(t *test) (list []bar) {
	for _, r := range rep.options.routers {
		if ratio, _, _, ok := rep.ratio(t, r); ok && r.name != "kernel" && ratio > 0 {
			list = append(list, bar{r.name, ratio})
		}
	}
	return list
}

// position returns where a ratio lies; the scale ends at 1/32 and 32.
func position(ratio float64) float64 {
	const decades = 5 // of 2, to each side
	share := (math.Log2(ratio) + decades) / (2 * decades)
	return svgLabel + math.Max(0, math.Min(1, share))*(svgWidth-svgMargin-svgLabel)
}

func (r bar) draw(y int) string {
	from, to := position(1), position(r.ratio)
	left, width := math.Min(from, to), math.Max(1, math.Abs(to-from))
	anchor, at := "start", math.Max(from, to)+5
	if r.ratio < 1 {
		anchor, at = "end", left-5
	}
	return fmt.Sprintf(`<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n"+
		`<text x="%.1f" y="%d" text-anchor="%s" class="small">%s %.2f</text>`+"\n",
		left, y, width, svgBar-4, colours[r.name], at, y+svgBar-7, anchor, r.name, r.ratio)
}

// frame is the head of the picture, with its scale.
func (rep *report) frame(height int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n"+
		`<style>.small{font-size:11px;fill:#555}</style>`+"\n"+
		`<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n", svgWidth, height)
	fmt.Fprintf(&b, `<text x="%d" y="26" font-size="16">Forwarding, Linux' own being 1</text>`+"\n", svgMargin)
	for _, ratio := range []float64{1. / 16, 1. / 4, 1. / 2, 1, 2, 4, 16} {
		x := position(ratio)
		colour := "#dddddd"
		if ratio == 1 {
			colour = "#333333"
		}
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`+"\n", x, svgHead-10, x, height-10, colour)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" class="small">%s</text>`+"\n", x, svgHead-16, scale(ratio))
	}
	return b.String()
}

func scale(ratio float64) string {
	if ratio < 1 {
		return fmt.Sprintf("1/%.0f", 1/ratio)
	}
	return fmt.Sprintf("%.0f", ratio)
}
