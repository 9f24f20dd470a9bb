package metrics

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const document = "../docs/metrics.md"

// The part of the document that the table makes is between these lines.
const (
	tableBegins = "<!-- made by: go test ./metrics -rewrite -->\n"
	tableEnds   = "<!-- end of the table -->\n"
)

func TestTheDocumentHasEveryMetric(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), tableBegins)
	_, tail, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %q and %q", document, tableBegins, tableEnds)
	}
	var b strings.Builder
	b.WriteString("| Metric | Type | Labels | |\n|---|---|---|---|\n")
	for _, m := range All() {
		labels := ""
		for _, l := range m.Labels {
			labels += " `" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.TrimSpace(labels), strings.ReplaceAll(m.Help, "|", "\\|"))
	}
	golden(t, document, head+tableBegins+b.String()+tableEnds+tail)
	for _, name := range strings.FieldsFunc(head+tail, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		if strings.HasPrefix(name, "vrouter_") && !known(name) {
			t.Errorf("%s names %s, which is no metric", document, name)
		}
	}
}

func known(name string) bool {
	for _, m := range All() {
		if name == m.Name || name == m.Name+"_bucket" || name == m.Name+"_count" || name == m.Name+"_sum" {
			return true
		}
	}
	return false
}
