package packet

import (
	"net/netip"
	"testing"
	"unsafe"
)

func TestMACTextForms(t *testing.T) {
	m, err := ParseMAC("00:00:5E:00:01:0a")
	if err != nil || m.String() != "00:00:5e:00:01:0a" {
		t.Fatalf("%v, %v", m, err)
	}
	var back MAC
	if text, _ := m.MarshalText(); back.UnmarshalText(text) != nil || back != m {
		t.Errorf("text form does not come back: %v", back)
	}
	for _, bad := range []string{"", "00:00:5e:00:01", "00:00:5e:00:01:0a:00:00", "zz:00:00:00:00:00"} {
		if _, err := ParseMAC(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestMACKinds(t *testing.T) {
	if !Broadcast.IsMulticast() || (MAC{2}).IsMulticast() || !(MAC{1}).IsMulticast() || !(MAC{}).IsZero() {
		t.Error("group bit or zero not seen")
	}
}

func TestAddressesMadeFromOthers(t *testing.T) {
	for _, c := range []struct{ what, got, want string }{
		{"RFC 4291 appendix A", MAC{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}.LinkLocal().String(), "fe80::3656:78ff:fe9a:bcde"},
		{"RFC 1112 6.4, 23 bits", MulticastMAC(netip.MustParseAddr("239.129.1.2")).String(), "01:00:5e:01:01:02"},
		{"RFC 2464 7", MulticastMAC(netip.MustParseAddr("ff02::1:ff28:9c5a")).String(), "33:33:ff:28:9c:5a"},
		{"RFC 4291 2.7.1, its example", SolicitedNode(netip.MustParseAddr("4037::1:800:200e:8c6c")).String(), "ff02::1:ff0e:8c6c"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
		}
	}
}

// The kernel reads and writes VNet as it lies in memory.
func TestVNetHasTheKernelsLayout(t *testing.T) {
	var v VNet
	if unsafe.Sizeof(v) != VNetLen || unsafe.Offsetof(v.HdrLen) != 2 || unsafe.Offsetof(v.GSOSize) != 4 ||
		unsafe.Offsetof(v.CsumStart) != 6 || unsafe.Offsetof(v.CsumOffset) != 8 || unsafe.Offsetof(v.NumBuffers) != 10 {
		t.Error("layout differs from struct virtio_net_hdr_mrg_rxbuf")
	}
	if (&VNet{GSOType: GSOECN}).IsGSO() || !(&VNet{GSOType: GSOTCPv4 | GSOECN}).IsGSO() {
		t.Error("IsGSO")
	}
}
