package netlab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Children returns the processes that a process has started and that have not
// been waited for.
func Children(pid int) (children []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is good
	for _, path := range tasks {
		b, _ := os.ReadFile(path) // the thread may have ended
		for _, field := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// CutPower ends a process and all that it has started by SIGKILL, without any
// of them getting to act on the end of another, and waits until those that it
// has started are gone, and returns them. Whoever started the process itself
// has to wait for it.
func CutPower(pid int) (started []int) {
	// From the first on nobody can start others, and a guardian cannot speak for
	// those that it has lost.
	unix.Kill(pid, unix.SIGSTOP)
	family := Children(pid)
	for i := 0; i < len(family); i++ {
		unix.Kill(family[i], unix.SIGSTOP)
		family = append(family, Children(family[i])...)
	}
	var ends []int
	for i := len(family) - 1; i >= 0; i-- {
		if fd, err := unix.PidfdOpen(family[i], 0); err == nil {
			ends = append(ends, fd)
		}
		unix.Kill(family[i], unix.SIGKILL)
	}
	unix.Kill(pid, unix.SIGKILL)
	const most = 5000 // milliseconds
	for _, fd := range ends {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(fds, most); err != unix.EINTR {
				break
			}
		}
		unix.Close(fd)
	}
	return family
}
