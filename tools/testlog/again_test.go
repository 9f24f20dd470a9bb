package main

import (
	"io"
	"regexp"
	"strings"
	"testing"
)

const bad = `{"Action":"output","Package":"vrouter/real","Test":"TestBad/part","Output":"TEXT\n"}
{"Action":"fail","Package":"vrouter/real","Test":"TestBad/part"}
{"Action":"fail","Package":"vrouter/real","Test":"TestBad"}
{"Action":"output","Package":"vrouter/real","Output":"FAIL\tvrouter/real\t0.1s\n"}
{"Action":"fail","Package":"vrouter/real"}
`

// second runs what failed again, where the second run prints a transcript, and
// returns what was run, what was printed, and the exit status.
func second(t *testing.T, first, then string) (ran []string, printed string, status int) {
	t.Helper()
	var out strings.Builder
	s, err := read(strings.NewReader(first), &out)
	if err != nil {
		t.Fatal(err)
	}
	err = s.secondChance(regexp.MustCompile(`^vrouter/real$`), func(pkg string, tests []string, w io.Writer) (*summary, error) {
		ran = append(ran, pkg+" "+strings.Join(tests, " "))
		return read(strings.NewReader(then), w)
	})
	if err != nil {
		t.Fatal(err)
	}
	return ran, out.String(), s.status(true)
}

func TestWhoPassesAloneIsListedAsUnsteady(t *testing.T) {
	ran, out, status := second(t, bad, transcript)
	if len(ran) != 1 || ran[0] != "vrouter/real TestBad" || status != 0 ||
		!strings.Contains(out, "TEXT") || !strings.Contains(out, "unsteady: vrouter/real TestBad") {
		t.Errorf("status %d, ran %q\n%s", status, ran, out)
	}
}

func TestWhoFailsTwiceHasFailed(t *testing.T) {
	if ran, out, status := second(t, bad, bad); len(ran) != 1 || status != 1 || strings.Contains(out, "unsteady") {
		t.Errorf("status %d, ran %q\n%s", status, ran, out)
	}
}

func TestAProgramThatIsMissingInTheSecondRunFails(t *testing.T) {
	then := strings.Replace(transcript, "REASON", "tshark is not installed", 1)
	if _, out, status := second(t, bad, then); status != 1 {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestWhatNoStallExplainsIsNotForgiven(t *testing.T) {
	for name, first := range map[string]string{
		"another package":   strings.ReplaceAll(bad, "vrouter/real", "vrouter/pure"),
		"a data race":       strings.Replace(bad, "TEXT", "WARNING: DATA RACE", 1),
		"a race between":    strings.Replace(bad, "FAIL\\tvrouter", "WARNING: DATA RACE", 1),
		"a panic":           strings.Replace(bad, "TEXT", "panic: index out of range", 1),
		"no build":          strings.Replace(bad, "TEXT", "FAIL vrouter/real [build failed]", 1),
		"a hang":            strings.Replace(bad, "TEXT", "panic: test timed out after 10m0s", 1),
		"too many failures": many(stallLimit + 1),
	} {
		if ran, out, status := second(t, first, transcript); len(ran) != 0 || status != 1 {
			t.Errorf("%s: status %d, ran %q\n%s", name, status, ran, out)
		}
	}
	if ran, _, status := second(t, many(stallLimit), transcript); len(ran) != 1 || status != 0 {
		t.Errorf("%d failures: status %d, ran %q", stallLimit, status, ran)
	}
}

// many is a transcript of n failures.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(bad, "TestBad", "TestBad"+string(rune('A'+i))))
	}
	return b.String()
}

func TestACommandThatFailsWithoutATestFails(t *testing.T) {
	for command, want := range map[string]int{"true": 0, "exit 2": 1, "echo no; exit 1": 1} {
		if got := logged("", []string{"sh", "-c", command}, io.Discard); got != want {
			t.Errorf("%s: status %d, want %d", command, got, want)
		}
	}
}
