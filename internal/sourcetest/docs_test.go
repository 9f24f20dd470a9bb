package sourcetest

import (
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vrouter/config"
	"vrouter/dataplane"
	"vrouter/vrrp"
)

// documents returns the Markdown files of the module by their paths.
func documents(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(root, name, d.Name())
		}
		if filepath.Ext(name) == ".md" {
			text, err := os.ReadFile(name)
			found[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10 {
		t.Fatalf("%d documents: there are more", len(found))
	}
	return found
}

var link = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)

func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	for name, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
		}
	}
}

var place = regexp.MustCompile("(?m)^\\| [^|`]+ \\| `([^`]+\\.go)` \\| `([^`]+)` \\|$")

// TestPlacesExist checks the table "Where do I find": each file has a function
// or type of that name.
func TestPlacesExist(t *testing.T) {
	places := place.FindAllStringSubmatch(read(t, "docs/ARCHITECTURE.md"), -1)
	if len(places) < 20 {
		t.Fatalf("%d places in docs/ARCHITECTURE.md: there are more", len(places))
	}
	for _, p := range places {
		f, err := Parse(p[1], read(t, p[1]))
		if err != nil {
			t.Fatal(err)
		}
		if !declares(f, p[2]) {
			t.Errorf("%s has no function or type %s", p[1], p[2])
		}
	}
}

func declares(f *File, name string) (found bool) {
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			found = found || n.Name.Name == name
		case *ast.TypeSpec:
			found = found || n.Name.Name == name
		}
		return true
	})
	return found
}

func TestExamplesAreGoodConfigurations(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "docs/examples/*.toml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d examples, error %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Parse(filepath.Base(name), text); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestTheReadmeShowsTheMinimalExample(t *testing.T) {
	_, rest, found := strings.Cut(read(t, "README.md"), "```toml\n")
	shown, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed || shown != read(t, "docs/examples/minimal.toml") {
		t.Errorf("README.md does not show docs/examples/minimal.toml as it is:\n%s", shown)
	}
}

func TestOperationsExplainsEveryReason(t *testing.T) {
	text := read(t, "docs/operations.md")
	explained := func(name string) {
		if !strings.Contains(text, "| `"+name+"` |") {
			t.Errorf("docs/operations.md does not explain %s", name)
		}
	}
	for r := dataplane.ReasonNone + 1; r < dataplane.NumReasons; r++ {
		explained(r.String())
	}
	for r := vrrp.ReasonNone + 1; r < vrrp.NumReasons; r++ {
		explained("vrrp_" + r.String())
	}
	for c := dataplane.Class(0); c < dataplane.NumClasses; c++ {
		explained(c.String())
	}
}

// subcommand is how a command says its name to cobra.
var subcommand = regexp.MustCompile(`Use:\s+"([a-z]+)`)

func TestTheReadmeListsEveryCommand(t *testing.T) {
	readme := read(t, "README.md")
	commands := 0
	for _, f := range load(t) {
		if f.Dir != "cmd/vrouter" || f.Test {
			continue
		}
		for _, m := range subcommand.FindAllStringSubmatch(read(t, f.Path), -1) {
			commands++
			if !regexp.MustCompile("`vrouter[^`]* " + m[1] + "\\b|\\b" + m[1] + "\\b").MatchString(readme) {
				t.Errorf("README.md does not list the command %s of %s", m[1], f.Path)
			}
		}
	}
	if commands < 10 {
		t.Fatalf("%d commands found: there are more", commands)
	}
}
