package daemon

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrouter/arp"
	"vrouter/control"
	"vrouter/ndp"
	"vrouter/packet"
)

// bothFamilies adds IPv6 to onLAN.
var bothFamilies = strings.NewReplacer(
	`["192.0.2.2/24"]`, `["192.0.2.2/24", "2001:db8:1::2/64"]`,
	`["203.0.113.2/24"]`, `["203.0.113.2/24", "2001:db8:2::2/64"]`,
).Replace(onLAN) + `
[[vrrp]]
name = "gw6"
interface = "lan"
vrid = 11
addresses = ["fe80::1", "2001:db8:1::1"]
interval = "100ms"
drain = "0s"
`

// raceEnabled tells that the race detector runs. With engine = "netstack" it
// finds gVisor reading memory that it has given back; see restoreTTL there.
var raceEnabled bool

// TestStormOfDamagedFrames sends frames of all kinds with random damage to a
// whole router with either engine: it must go on as before.
func TestStormOfDamagedFrames(t *testing.T) {
	for _, engine := range []string{"fast", "netstack"} {
		t.Run(engine, func(t *testing.T) {
			if raceEnabled && engine == "netstack" {
				t.Skip("gVisor's forwarder has a data race")
			}
			r := newRig(t, "[router]\nengine = \""+engine+"\"\n"+bothFamilies).start()
			await(t, "Master", func() bool { return r.state() == "Master" })
			rng := rand.New(rand.NewPCG(7, 7))
			seeds := stormSeeds()
			for n := range 20_000 {
				f := damaged(rng, seeds[rng.IntN(len(seeds))])
				port := rng.IntN(2)
				for tries := 0; r.ports[port].Inject(0, f) == 0 && tries < 1000; tries++ {
					time.Sleep(100 * time.Microsecond)
				}
				if n%1000 == 0 {
					r.ports[0].Sent()
					r.ports[1].Sent()
				}
			}
			r.ports[0].Inject(0, *hostARP(10))
			request := control.PingRequest{Address: netip.MustParseAddr("192.0.2.2"), Count: 1, IntervalMS: 10, TimeoutMS: 5000, Size: 8}
			var reply control.PingReply
			err := r.client.Ping(t.Context(), request, func(p control.PingReply) error { reply = p; return nil })
			if err != nil || reply.Error != "" {
				t.Errorf("after the storm the local stack does not answer: %+v, %v", reply, err)
			}
			await(t, "Master after the storm", func() bool { return r.state() == "Master" })
			if took := r.stop(); took > 3*time.Second {
				t.Errorf("stopped in %v", took)
			}
		})
	}
}

// stormSeeds are good frames of every kind that a router meets.
func stormSeeds() []packet.Frame {
	lan, host := packet.MAC{2, 0, 0, 0, 1, 0}, packet.MAC{2, 0, 0, 0, 0, 10}
	a4, r4, v4 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")
	a6, r6 := netip.MustParseAddr("2001:db8:1::10"), netip.MustParseAddr("2001:db8:1::2")
	seeds := []packet.Frame{
		{Data: arp.Request(host, a4, r4)},
		{Data: arp.Reply(host, a4, lan, r4)},
		{Data: arp.Probe(host, v4)},
		{Data: ndp.Solicit(host, a6, r6)},
		{Data: ndp.Unsolicited(host, a6)},
		{Data: ndp.RouterSolicit(host, a6)},
		advertFrame(90),
	}
	for _, dst := range []string{"192.0.2.2", "192.0.2.1", "192.0.2.77", "203.0.113.5", "198.51.100.1", "224.0.0.1", "255.255.255.255"} {
		for _, ttl := range []uint8{1, 64} {
			seeds = append(seeds, datagram("192.0.2.10", dst, ttl))
		}
	}
	for _, protocol := range []uint8{1, 2, 6, 17, 58, 0, 43, 44, 112} {
		for _, dst := range []string{"2001:db8:1::2", "2001:db8:2::77", "fe80::1", "ff02::1"} {
			b := make([]byte, packet.EthernetLen+packet.IPv6Len+64)
			packet.PutEthernet(b, lan, host, packet.EtherTypeIPv6)
			h := packet.IPv6Header{NextHeader: protocol, HopLimit: 64, Src: a6, Dst: netip.MustParseAddr(dst)}
			h.Put(b[packet.EthernetLen:], 64)
			b[packet.EthernetLen+packet.IPv6Len] = 128 // echo request, as ICMPv6
			seeds = append(seeds, packet.Frame{Data: b})
		}
		b := make([]byte, packet.EthernetLen+packet.IPv4Len+64)
		packet.PutEthernet(b, lan, host, packet.EtherTypeIPv4)
		h := packet.IPv4Header{TTL: 64, Protocol: protocol, Src: a4, Dst: r4}
		h.Put(b[packet.EthernetLen:], 64)
		b[packet.EthernetLen+packet.IPv4Len] = 8 // echo request
		seeds = append(seeds, packet.Frame{Data: b})
	}
	return seeds
}

// damaged returns a copy with some bytes changed, cut off or added, and at
// times an unlikely virtio-net header.
func damaged(rng *rand.Rand, f packet.Frame) packet.Frame {
	b := append([]byte(nil), f.Data...)
	for range rng.IntN(4) {
		b[packet.EthernetLen+rng.IntN(len(b)-packet.EthernetLen)] = byte(rng.Uint32())
	}
	switch rng.IntN(8) {
	case 0:
		b = b[:rng.IntN(len(b)+1)]
	case 1:
		b = append(b, make([]byte, rng.IntN(1400))...)
	}
	// A broken header checksum would hide the rest of the damage.
	if len(b) >= packet.EthernetLen+packet.IPv4Len && packet.Ethernet(b).Type() == packet.EtherTypeIPv4 && rng.IntN(4) > 0 {
		if p := b[packet.EthernetLen:]; int(p[0]&15)*4 <= len(p) && p[0]&15 >= 5 {
			p[10], p[11] = 0, 0
			sum := packet.Checksum(packet.Sum(0, p[:int(p[0]&15)*4]))
			p[10], p[11] = byte(sum>>8), byte(sum)
		}
	}
	out := packet.Frame{Data: b}
	if rng.IntN(10) == 0 {
		out.VNet = packet.VNet{
			Flags: uint8(rng.IntN(3)), GSOType: uint8(rng.IntN(6)), GSOSize: uint16(rng.IntN(1500)),
			HdrLen: uint16(rng.IntN(100)), CsumStart: uint16(rng.IntN(100)), CsumOffset: uint16(rng.IntN(30)),
		}
	}
	return out
}
