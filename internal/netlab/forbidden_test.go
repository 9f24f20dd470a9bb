package netlab

import (
	"errors"
	"strings"
	"testing"
)

func TestRemedyNamesWhatForbids(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{
			"Debian's switch",
			map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0"},
			"sysctl -w kernel.unprivileged_userns_clone=1",
		},
		{
			"Debian's switch is on, AppArmor forbids",
			map[string]string{
				"/proc/sys/kernel/unprivileged_userns_clone":             "1",
				"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
			},
			"sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
		},
		{
			"limit of user namespaces",
			map[string]string{"/proc/sys/user/max_user_namespaces": "0"},
			"sysctl -w user.max_user_namespaces=",
		},
		{
			"limit of network namespaces",
			map[string]string{
				"/proc/sys/user/max_user_namespaces": "9999",
				"/proc/sys/user/max_net_namespaces":  "0",
			},
			"sysctl -w user.max_net_namespaces=",
		},
		{
			"container",
			map[string]string{"/proc/self/status": "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1"},
			"--cap-add SYS_ADMIN",
		},
		{"unknown", map[string]string{"/proc/self/status": "Name:\tx\nSeccomp:\t0"}, "as root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := remedy(func(path string) string { return c.files[path] })
			if !strings.Contains(got, c.want) {
				t.Errorf("%q does not say %q", got, c.want)
			}
		})
	}
}

func TestForbiddenIsRecognised(t *testing.T) {
	cause := errors.New("operation not permitted")
	err := forbidden(cause)
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), cause.Error()) {
		t.Errorf("%v does not wrap both", err)
	}
}
