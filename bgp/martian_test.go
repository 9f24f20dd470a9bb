package bgp

import (
	"net/netip"
	"testing"
)

func TestMartians(t *testing.T) {
	for text, want := range map[string]bool{
		"0.0.0.0/0": false, "0.0.0.0/1": false, "128.0.0.0/1": false, "::/0": false, "2000::/3": false, "::/1": false,
		"0.0.0.0/8": true, "0.1.2.0/24": true, "127.0.0.0/8": true, "127.0.0.1/32": true, "126.0.0.0/7": false, "126.0.0.0/8": false,
		"169.254.0.0/16": true, "169.254.169.254/32": true, "169.254.0.0/15": false,
		"224.0.0.0/4": true, "224.0.0.0/3": true, "239.1.2.3/32": true, "240.0.0.0/4": true, "255.255.255.255/32": true, "192.0.0.0/2": false,
		"10.0.0.0/8": false, "192.168.0.0/16": false, "100.64.0.0/10": false, // somebody's own
		"::1/128": true, "::/128": true, "::ffff:0:0/96": true, "::192.0.2.0/120": true, "64:ff9b::/96": false,
		"fe80::/10": true, "fe80::1/128": true, "ff02::/16": true, "fc00::/7": false, "2001:db8::/32": false,
	} {
		if got := Martian(netip.MustParsePrefix(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}
