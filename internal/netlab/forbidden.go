package netlab

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrForbidden is wrapped by the errors of Run where the system does not let
// this user make network namespaces.
var ErrForbidden = errors.New("no network namespaces for this user")

// privileged reports whether network namespaces may be made without a user
// namespace.
func privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	const need = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
	return os.Geteuid() == 0 && data[0].Effective&need == need
}

// forbidden makes an error of a refusal to create or use namespaces, with the
// remedy.
func forbidden(cause error) error {
	return fmt.Errorf("%w (%v): %s", ErrForbidden, cause, remedy(readFile))
}

func readFile(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// remedy looks for what forbids user namespaces; read returns a file's text,
// or "" where there is no such file.
func remedy(read func(path string) string) string {
	if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
		return "this kernel keeps user namespaces for root; allow them with\n" +
			"    sudo sysctl -w kernel.unprivileged_userns_clone=1\nor run this command as root"
	}
	if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
		return "AppArmor restricts user namespaces; lift that with\n" +
			"    sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0\nor run this command as root"
	}
	if read("/proc/sys/user/max_user_namespaces") == "0" {
		return "the number of user namespaces is limited to 0; raise it with\n" +
			"    sudo sysctl -w user.max_user_namespaces=10000\nor run this command as root"
	}
	if read("/proc/sys/user/max_net_namespaces") == "0" {
		return "the number of network namespaces is limited to 0; raise it with\n" +
			"    sudo sysctl -w user.max_net_namespaces=10000"
	}
	if strings.Contains(read("/proc/self/status"), "Seccomp:\t2") {
		return "a seccomp filter, as of a container, forbids it; in Docker or Podman start the container with\n" +
			"    --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt apparmor=unconfined"
	}
	return "run this command as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN"
}
