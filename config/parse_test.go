package config

import (
	"errors"
	"strings"
	"testing"
)

const minimal = "[[interface]]\nname = \"lan\"\naddresses = [\"192.0.2.2/24\"]\n"

func TestErrorsPrintOneLineEach(t *testing.T) {
	_, err := Parse("/etc/vrouter.toml", []byte("[router]\nworkers = -1\nengine = \"x\\ny\"\n"+minimal))
	want := "/etc/vrouter.toml:2: workers -1 is out of range; write 0 to 256\n" +
		`/etc/vrouter.toml:3: engine "x\ny" is not known; write one of "fast", "netstack"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 2 || errs[1].Line != 3 || errs[1].File != "/etc/vrouter.toml" {
		t.Errorf("errors: %+v", errs)
	}
}

func TestAFileMayBeginWithAByteOrderMarkAndEndItsLinesAsWindowsDoes(t *testing.T) {
	text := "\ufeff" + strings.ReplaceAll(minimal+"[router]\nworkers = 999\n", "\n", "\r\n")
	checkError(t, text, "f:5: workers 999 is out of range")
	checkError(t, "\xff\xfe[\x00r\x00", "save the file as UTF-8")
}

// After a syntax error nothing is said of what may have been in the part that
// is lost.
func TestASyntaxErrorIsNotFollowedByErrorsThatItCauses(t *testing.T) {
	whole := "[[interface]]\nname = \"lan\"\ndevice = \"eth1\"\naddresses = [\n  \"192.0.2.2/24\",\n  \"2001:db8:1::2/64\",\n]\n" +
		"[[vrrp]]\nname = \"v\"\ninterface = \"lan\"\nvrid = 10\naddresses = [\"192.0.2.1\"]\n" +
		"[[route]]\nto = \"0.0.0.0/0\"\nvia = [\"192.0.2.9\"]\n"
	mustParse(t, whole)
	for _, tt := range []struct{ old, broken, want string }{
		{"[[interface]]", "[[interface]", "f:1: syntax"},
		{"[[interface]]", "[interface]]", "f:1: syntax"},
		{"\"lan\"", "lan", "f:2: syntax"},
		{"\"lan\"", "\"lan", "f:2: syntax"},
		{"\"lan\"", "", "f:2: syntax"},
		{"name = ", "name ", "f:2: syntax"},
		{"name = ", "", "f:2: syntax"},
		{"eth1\"\n", "eth1\" mtu = 1500\n", "f:3: syntax"},
		{"\"192.0.2.2/24\",", "\"192.0.2.2/24\"", "f:6: syntax"},
		{"\"192.0.2.2/24\",", "192.0.2.2/24,", "f:5: syntax"},
		{"\n]\n", "\n", "f:7: syntax"},
		{"vrid = 10", "vrid = 10x", "f:11: syntax"},
		{"[\"192.0.2.1\"]", "[\"192.0.2.1\"", "syntax"},
		{"[\"192.0.2.1\"]", "\"\"\"192.0.2.1", "syntax"},
		{"[[route]]", "[[route]]\nto = \"::/0\"", "f:15: syntax"},
		{"[[route]]", "[vrrp]\nname = \"again\"\n[[route]]", "f:13: syntax"},
	} {
		checkError(t, strings.Replace(whole, tt.old, tt.broken, 1), tt.want)
	}
}

func TestEverySyntaxErrorIsFoundUpToALimit(t *testing.T) {
	text := ""
	for i := range 30 {
		text += "k" + strings.Repeat("x", i) + " = yes\n"
	}
	_, err := Parse("f", []byte(text))
	if n := strings.Count(err.Error(), "syntax:"); n != maxSyntaxErrors {
		t.Errorf("%d syntax errors, want %d", n, maxSyntaxErrors)
	}
}

func TestKeysAreCaseSensitive(t *testing.T) {
	checkError(t, strings.Replace(minimal, "name", "Name", 1)+"name = \"lan\"\n", `unknown key "Name" in [interface]; did you mean "name"?`)
}

func TestOtherSpellingsOfTablesMeanTheSame(t *testing.T) {
	for _, text := range []string{
		"interface = [{ name = \"lan\", addresses = [\"192.0.2.2/24\"] }]\nlog.level = \"warn\"\n",
		"[log]\n\"level\" = 'warn'\n[[ interface ]]\n'name' = \"\"\"lan\"\"\"\naddresses = [\n\"192.0.2.2/24\", # own\n]\n",
		"log = { level = \"w\\u0061rn\" }\n" + minimal,
	} {
		cfg := mustParse(t, text)
		if cfg.Log.Level != "warn" || cfg.Interfaces[0].Name != "lan" || len(cfg.Interfaces[0].Addresses) != 1 {
			t.Errorf("%s: %+v", text, cfg)
		}
	}
}
