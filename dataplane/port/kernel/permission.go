package kernel

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// ErrPermission is what this package and the ports return where a capability
// is missing; its text names the remedy. It is an os.ErrPermission too.
var ErrPermission error = permissionError{}

type permissionError struct{}

func (permissionError) Error() string {
	return "not permitted: needs the capabilities CAP_NET_ADMIN and CAP_NET_RAW: run as root, " +
		"or once `setcap cap_net_admin,cap_net_raw+ep` on the program (in a container: add both capabilities to it)"
}

func (permissionError) Is(target error) bool { return target == os.ErrPermission }

// Permission returns err, or where it says that something is not permitted an
// ErrPermission that names what.
func Permission(what string, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%s: %w", what, ErrPermission)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// MayConfigure returns an ErrPermission where the caller may not change
// devices in the namespace, whether there are any or not.
func (n *Net) MayConfigure() error {
	err := n.SetAdmin(math.MaxInt32, true) // no such device; the kernel asks for the capability first
	if errors.Is(err, unix.EPERM) {
		return Permission("change network devices", err)
	}
	return nil
}
