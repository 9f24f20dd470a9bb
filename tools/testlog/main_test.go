package main

import (
	"strings"
	"testing"
)

const transcript = `go build ./...
{"Action":"start","Package":"vrouter/a"}
{"Action":"run","Package":"vrouter/a","Test":"TestGood"}
{"Action":"output","Package":"vrouter/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"vrouter/a","Test":"TestGood","Output":"    a_test.go:1: noise\n"}
{"Action":"pass","Package":"vrouter/a","Test":"TestGood","Elapsed":0}
{"Action":"output","Package":"vrouter/a","Test":"TestTool","Output":"=== RUN   TestTool\n"}
{"Action":"output","Package":"vrouter/a","Test":"TestTool","Output":"    a_test.go:9: REASON\n"}
{"Action":"output","Package":"vrouter/a","Test":"TestTool","Output":"--- SKIP: TestTool (0.00s)\n"}
{"Action":"skip","Package":"vrouter/a","Test":"TestTool","Elapsed":0}
{"Action":"output","Package":"vrouter/a","Output":"PASS\n"}
{"Action":"output","Package":"vrouter/a","Output":"ok  \tvrouter/a\t0.1s\n"}
{"Action":"pass","Package":"vrouter/a","Elapsed":0.1}
`

func told(t *testing.T, text string, ci bool) (string, int) {
	t.Helper()
	var out strings.Builder
	s, err := read(strings.NewReader(text), &out)
	if err != nil {
		t.Fatal(err)
	}
	status := s.status(ci)
	return out.String(), status
}

func TestASkipForAMissingProgramFailsInCIOnly(t *testing.T) {
	text := strings.Replace(transcript, "REASON", "tshark is not installed", 1)
	if out, status := told(t, text, true); status != 1 || !strings.Contains(out, "FAIL: 1 tests were skipped") {
		t.Errorf("status %d\n%s", status, out)
	}
	out, status := told(t, text, false)
	const want = "go build ./...\nskipped vrouter/a TestTool: a_test.go:9: tshark is not installed\nok  \tvrouter/a\t0.1s\n"
	if status != 0 || out != want {
		t.Errorf("status %d\n%s\nwant\n%s", status, out, want)
	}
}

func TestASkipForAnotherReasonIsToldOnly(t *testing.T) {
	out, status := told(t, strings.Replace(transcript, "REASON", "half a minute", 1), true)
	if status != 0 || !strings.Contains(out, "half a minute") {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestAFailureIsShownWithItsOutput(t *testing.T) {
	text := `{"Action":"output","Package":"vrouter/a","Test":"TestBad","Output":"    a_test.go:3: broken\n"}
{"Action":"fail","Package":"vrouter/a","Test":"TestBad"}
{"Action":"output","Package":"vrouter/a","Output":"FAIL\tvrouter/a\t0.1s\n"}
{"Action":"fail","Package":"vrouter/a"}
`
	out, status := told(t, text, false)
	if status != 1 || out != "    a_test.go:3: broken\nFAIL\tvrouter/a\t0.1s\n" {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestABuildFailureIsShown(t *testing.T) {
	text := `{"ImportPath":"vrouter/a","Action":"build-output","Output":"a.go:1: undefined\n"}
{"ImportPath":"vrouter/a","Action":"build-fail"}
{"Action":"output","Package":"vrouter/a","Output":"FAIL\tvrouter/a [build failed]\n"}
{"Action":"fail","Package":"vrouter/a","FailedBuild":"vrouter/a"}
`
	out, status := told(t, text, false)
	if status != 1 || out != "a.go:1: undefined\nFAIL\tvrouter/a [build failed]\n" {
		t.Errorf("status %d\n%s", status, out)
	}
}
