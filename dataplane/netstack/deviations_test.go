package netstack

import (
	"bytes"
	"slices"

	"vrouter/dataplane/fib"
	"vrouter/packet"
)

var contestRoutes = contestNetwork()

// deviations are where the fast path and gVisor's forwarder may differ, and
// why. Each is met in every run, so none outlives its reason.
var deviations = []struct {
	name    string
	applies func(h ipHeader, parsed bool, fast, engine result) bool
}{
	{"addresses that no packet may have, or that another host may not have: gVisor looks for multicast, loopback and unspecified only, and engine = netstack leaves the check to us", func(_ ipHeader, parsed bool, fast, _ result) bool {
		return parsed && slices.Contains([]string{"martian_source", "martian_destination", "scope", "broadcast", "spoofed", "directed_broadcast"}, fast.why)
	}},
	{"source routes: refused by RFC 7126 4.3 and 4.4, unknown to gVisor", func(_ ipHeader, _ bool, fast, _ result) bool {
		return fast.why == "source_route"
	}},
	{"malformed options of IPv4: dropped in silence; gVisor answers parameter problem where it reads the option, and forwards where it does not", func(_ ipHeader, _ bool, fast, _ result) bool {
		return fast.why == "options"
	}},
	{"record route, timestamp, router alert: passed unchanged (RFC 7126 4.5, 4.7 and 4.8 permit it); gVisor fills them in with the address of the wrong side, answers or drops with a bad one, and clears what stands behind the end of options", func(h ipHeader, _ bool, fast, engine result) bool {
		return h.src.Is4() && h.minded && (engine.what == "error" || engine.what == "nothing" || fast.what == engine.what && sameButOptions(fast, engine))
	}},
	{"options of hop-by-hop headers: routers need not look (RFC 8200 4.8); gVisor drops or answers unknown ones, and after them late", func(h ipHeader, _ bool, fast, engine result) bool {
		return h.src.Is6() && h.proto == packet.ProtoHopByHop && fast.what != "local" && (engine.what == "nothing" || saysParameterProblem(engine))
	}},
	{"extension headers that are cut off: their destination's to find (RFC 8200 4), dropped by gVisor", func(h ipHeader, _ bool, fast, engine result) bool {
		_, sound := upperLayer(h)
		return h.src.Is6() && !sound && engine.what == "nothing"
	}},
	{"more than 1280 bytes of IPv6 headers: forwarded here; Engine drops them, because gVisor ends the process", func(h ipHeader, _ bool, fast, engine result) bool {
		return h.src.Is6() && engine.what == "nothing" && endless(slices.Concat(h.fixed, h.payload))
	}},
	{"errors about packets without an upper layer (no next header): sent here, not by gVisor", func(h ipHeader, _ bool, fast, engine result) bool {
		upper, sound := upperLayer(h)
		return h.src.Is6() && sound && upper == 59 && fast.what == "error" && engine.what == "nothing"
	}},
	{"unreachable routes: answered here, silent in gVisor, which has none", func(_ ipHeader, _ bool, fast, engine result) bool {
		e, ok := errorOf(fast)
		return engine.what == "nothing" && ok && (e.src.Is4() && e.kind == packet.ICMPUnreachable && e.code == packet.ICMPCodeHost ||
			e.src.Is6() && e.kind == packet.ICMPv6Unreachable && e.code == packet.ICMPv6CodeNoRoute)
	}},
	{"beyond the scope of a link-local source: answered here (RFC 4443 3.1), silent in gVisor", func(h ipHeader, _ bool, fast, engine result) bool {
		e, ok := errorOf(fast)
		return h.src.Is6() && h.src.IsLinkLocalUnicast() && engine.what == "nothing" && ok && e.kind == packet.ICMPv6Unreachable && e.code == packet.ICMPv6CodeBeyondScope
	}},
	{"a packet to a blackhole with a TTL that ends: dropped in silence; gVisor looks at the TTL first", func(_ ipHeader, _ bool, fast, engine result) bool {
		e, ok := errorOf(engine)
		return fast.why == "blackhole" && ok && timeExceeded(e)
	}},
	{"errors about later fragments: forbidden (RFC 1812 4.3.2.7), sent by gVisor", func(h ipHeader, _ bool, fast, engine result) bool {
		return fast.why == "no error may be sent" && h.src.Is4() && h.later() && engine.what == "error"
	}},
	{"errors to a source whose route leads nowhere: gVisor answers where the packet came from, whatever its routes say", func(h ipHeader, _ bool, fast, engine result) bool {
		back, ok := contestRoutes.oracle(h.src)
		return fast.why == "no error may be sent" && engine.what == "error" && ok && (back.Kind == fib.Blackhole || back.Kind == fib.Unreachable)
	}},
	{"errors about ICMP queries in fragments or less than 8 bytes, and about less known ones than echo, timestamp and information: sent here, never by gVisor", func(h ipHeader, _ bool, fast, engine result) bool {
		known := len(h.payload) >= 8 && slices.Contains([]byte{0, 8, 13, 14, 15, 16}, h.payload[0])
		return h.src.Is4() && h.proto == packet.ProtoICMP && (h.fixed[6]&0x20 != 0 || !known) && fast.what == "error" && engine.what == "nothing"
	}},
	{"errors about ICMPv6 errors and redirects behind extension headers or of less than 8 bytes, and about ICMPv6 that says nothing: forbidden (RFC 4443 2.4 (e)), sent by gVisor, which looks at whole messages behind the fixed header", func(h ipHeader, _ bool, fast, engine result) bool {
		return fast.why == "no error may be sent" && h.src.Is6() && (h.proto != packet.ProtoICMPv6 || len(h.payload) < 8) && engine.what == "error"
	}},
	{"options in later fragments: those with the copied flag only (RFC 791 3.1); gVisor copies all", func(h ipHeader, _ bool, fast, engine result) bool {
		return h.options && len(fast.sent) > 1 && bytes.Equal(reassembled(fast), reassembled(engine))
	}},
	{"errors to a source behind another port: routed here, sent by gVisor where the packet came in", func(_ ipHeader, _ bool, fast, engine result) bool {
		if fast.what != "error" || engine.what != "error" {
			return false
		}
		moved := slices.Clone(engine.sent)
		moved[0].Port = fast.sent[0].Port
		return errorDifference(fast.sent, moved) == ""
	}},
	{"a packet that is too big for a link whose neighbour is not known: resolved first, and then judged; gVisor knows no neighbours", func(_ ipHeader, _ bool, fast, engine result) bool {
		e, ok := errorOf(engine)
		return fast.what == "resolve" && (engine.what == "nothing" || ok && tooBig(e))
	}},
}

// errorOf returns the ICMP error that a result consists of.
func errorOf(r result) (icmpSaid, bool) {
	if r.what != "error" || len(r.sent) != 1 {
		return icmpSaid{}, false
	}
	return parseError(r.sent[0].Data)
}

func timeExceeded(e icmpSaid) bool {
	return e.src.Is4() && e.kind == packet.ICMPTimeExceeded || e.src.Is6() && e.kind == packet.ICMPv6TimeExceeded
}

func tooBig(e icmpSaid) bool {
	return e.src.Is4() && e.kind == packet.ICMPUnreachable && e.code == packet.ICMPCodeFragNeeded ||
		e.src.Is6() && e.kind == packet.ICMPv6TooBig
}

// saysParameterProblem is true of an error of type 4 (RFC 4443 3.4).
func saysParameterProblem(r result) bool {
	e, ok := errorOf(r)
	return ok && e.src.Is6() && e.kind == 4
}

// sameButOptions reports whether two results differ in the options of IPv4
// headers and the checksums over them only.
func sameButOptions(a, b result) bool {
	return len(a.sent) == len(b.sent) && slices.EqualFunc(a.sent, b.sent, func(p, q Packet) bool {
		x, ok1 := packet.ParseIPv4(p.Data)
		y, ok2 := packet.ParseIPv4(q.Data)
		return ok1 && ok2 && p.Port == q.Port && len(x) == len(y) && x.HeaderLen() == y.HeaderLen() && x.HeaderLen() > packet.IPv4Len &&
			bytes.Equal(x[:10], y[:10]) && bytes.Equal(x[12:20], y[12:20]) && bytes.Equal(x.Payload(), y.Payload())
	})
}

// reassembled returns what the fragments of a result carry: the fixed header of
// the first, but for lengths and checksum, and all payloads, if they join.
func reassembled(r result) []byte {
	var whole []byte
	at := -1
	for _, p := range r.sent {
		ip, ok := packet.ParseIPv4(p.Data)
		if !ok || !ip.HeaderOK() || at >= 0 && ip.FragmentOffset() != at {
			return nil
		}
		if at < 0 {
			at = ip.FragmentOffset()
			whole = slices.Concat(ip[1:2], ip[4:10], ip[12:20])
		}
		whole = append(whole, ip.Payload()...)
		at += len(ip.Payload())
	}
	return whole
}

// upperLayer steps over the extension headers of an IPv6 packet; sound is false
// where they are not all there.
func upperLayer(h ipHeader) (proto uint8, sound bool) {
	next, b := h.proto, h.payload
	for {
		size := 8
		switch next {
		case packet.ProtoHopByHop, packet.ProtoRouting, packet.ProtoDestOpts:
			if len(b) > 1 {
				size += int(b[1]) * 8
			}
		case packet.ProtoFragment:
		default:
			return next, true
		}
		if len(b) < size {
			return next, false
		}
		next, b = b[0], b[size:]
	}
}
