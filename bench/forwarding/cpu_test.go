package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestRunTimeIsTheFirstNumberOfSchedstat(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1234567 89 10\n": 1234567, "42": 42, "": 0, "x 1 2": 0, "-": 0,
	} {
		if got := runTime([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestSoftirqTimeIsTheSeventhOfTheTotal(t *testing.T) {
	const stat = "cpu  100 2 300 4000 5 6 77 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\nintr 5\n"
	if got := softirqTime([]byte(stat)); got != 770*time.Millisecond {
		t.Errorf("%v", got)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 1 1 1 1 1 1 1", "cpu a b c d e f g h"} {
		if got := softirqTime([]byte(bad)); got != 0 {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestWorkShowsInTheClocks(t *testing.T) {
	before, own := threads([]int{os.Getpid()}), threadTime()
	deadline := time.Now().Add(10 * time.Second)
	for threadTime()-own < 20*time.Millisecond && time.Now().Before(deadline) {
	}
	if d := threads([]int{os.Getpid()}) - before; d < 10*time.Millisecond {
		t.Errorf("20 ms of work on this thread; the process's threads tell of %v", d)
	}
}

func TestTheFamilyHasChildrenOfChildren(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sh -c 'sleep 30; true' & wait")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var list []int
	for end := time.Now().Add(10 * time.Second); len(list) < 3 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		list = family(cmd.Process.Pid)
	}
	for _, pid := range slices.Backward(list) {
		if p, err := os.FindProcess(pid); err == nil {
			p.Kill()
		}
	}
	cmd.Wait()
	if len(list) < 3 {
		t.Errorf("sh, sh and sleep: %v", list)
	}
}
