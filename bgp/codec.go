package bgp

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Kind is the kind of a message.
type Kind uint8

// The kinds. A message is four bytes of length (big endian: of what follows),
// one of kind, and a body.
const (
	KindRoutes Kind = 1 + iota // to the router: AppendRoutes
	KindSynced                 // to the router: no body; the routes are complete
	KindReport                 // to the router: Report as JSON
	KindAnswer                 // to the router: number of the Query (4 bytes), Answer as JSON
	KindSetup                  // to the BGP process: Setup as JSON
	KindQuery                  // to the BGP process: its number (4 bytes), Query as JSON
	KindEnd                    // to the BGP process: no body; the router stops, say goodbye to the neighbours
)

// HeaderLen is the length of what comes before a body, MessageMax the most
// that header and body have, and BodyMax what is left for JSON.
const (
	HeaderLen  = 5
	MessageMax = 4 << 20
	BodyMax    = MessageMax - HeaderLen - 4 // of what is made of JSON
)

// Bounds of a message of routes.
const (
	RoutesMax = 512 // routes
	HopsMax   = 32  // of one route
	zoneMax   = 63  // bytes: an interface's name
)

// ErrMessage says that a message is none that this package makes: whoever gets
// it ends the connection.
var ErrMessage = errors.New("bgp: malformed message")

// AppendHeader begins a message; body is the length of its body.
func AppendHeader(b []byte, k Kind, body int) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(body+1)), byte(k))
}

// ParseHeader reads a header and returns the kind and the body's length.
func ParseHeader(b [HeaderLen]byte) (k Kind, body int, err error) {
	n := binary.BigEndian.Uint32(b[:4])
	if n == 0 || n > MessageMax-HeaderLen || b[4] < byte(KindRoutes) || b[4] > byte(KindEnd) {
		return 0, 0, ErrMessage
	}
	return Kind(b[4]), int(n) - 1, nil
}

// AppendBody appends a whole message with a body of at most BodyMax bytes.
func AppendBody(b []byte, k Kind, body []byte) []byte {
	return append(AppendHeader(b, k, len(body)), body...)
}

// AppendNumbered appends a whole message with a number before its body of at
// most BodyMax bytes.
func AppendNumbered(b []byte, k Kind, number uint32, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(AppendHeader(b, k, len(body)+4), number)
	return append(b, body...)
}

// ParseNumbered splits the body of a message with a number.
func ParseNumbered(body []byte) (number uint32, rest []byte, err error) {
	if len(body) < 4 {
		return 0, nil, ErrMessage
	}
	return binary.BigEndian.Uint32(body), body[4:], nil
}

// Flags of a route and of a hop.
const (
	flagIPv6     = 1 << 0
	flagExternal = 1 << 1
	flagZone     = 1 << 1 // of a hop
)

// AppendRoutes appends a whole message of at most RoutesMax routes; hops beyond
// HopsMax are left out.
func AppendRoutes(b []byte, routes []Route) []byte {
	start := len(b)
	b = AppendHeader(b, KindRoutes, 0)
	for i := range routes {
		b = appendRoute(b, &routes[i])
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// appendRoute writes flags, prefix length, number of hops, the prefix' bytes as
// far as its length goes, and the hops.
func appendRoute(b []byte, r *Route) []byte {
	var flags byte
	if r.Prefix.Addr().Is6() {
		flags |= flagIPv6
	}
	if r.External {
		flags |= flagExternal
	}
	hops := r.Hops[:min(len(r.Hops), HopsMax)]
	b = append(b, flags, byte(r.Prefix.Bits()), byte(len(hops)))
	b = append(b, r.Prefix.Addr().AsSlice()[:(r.Prefix.Bits()+7)/8]...)
	for _, h := range hops {
		var flags byte
		if h.Is6() {
			flags |= flagIPv6
		}
		zone := h.Zone()
		if zone != "" {
			flags |= flagZone
		}
		b = append(append(b, flags), h.AsSlice()...)
		if zone != "" {
			zone = zone[:min(len(zone), zoneMax)]
			b = append(append(b, byte(len(zone))), zone...)
		}
	}
	return b
}

// ParseRoutes decodes the body of a message of routes, appending to routes. It
// refuses what AppendRoutes would not have made.
func ParseRoutes(body []byte, routes []Route) ([]Route, error) {
	r := reader{rest: body}
	for n := 0; len(r.rest) > 0; n++ {
		route := r.route()
		if r.bad || n == RoutesMax {
			return nil, ErrMessage
		}
		routes = append(routes, route)
	}
	return routes, nil
}

// reader takes fields from the front of a message; bad once one was wrong.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) route() Route {
	flags, bits, hops := r.byte(), int(r.byte()), int(r.byte())
	longest := 32
	if flags&flagIPv6 != 0 {
		longest = 128
	}
	if flags&^(flagIPv6|flagExternal) != 0 || bits > longest || hops > HopsMax {
		r.bad = true
		return Route{}
	}
	var whole [16]byte
	copy(whole[:], r.take((bits+7)/8))
	addr, _ := netip.AddrFromSlice(whole[:longest/8])
	route := Route{Prefix: netip.PrefixFrom(addr, bits), External: flags&flagExternal != 0}
	if route.Prefix != route.Prefix.Masked() || addr.Is4In6() {
		r.bad = true
	}
	for range hops {
		route.Hops = append(route.Hops, r.hop())
	}
	return route
}

func (r *reader) hop() netip.Addr {
	flags, length := r.byte(), 4
	if flags&flagIPv6 != 0 {
		length = 16
	}
	addr, _ := netip.AddrFromSlice(r.take(length))
	if flags&^(flagIPv6|flagZone) != 0 || addr.Is4In6() || flags&flagZone != 0 && !addr.Is6() {
		r.bad = true
	}
	if flags&flagZone == 0 || r.bad {
		return addr
	}
	zone := r.take(int(r.byte()))
	if len(zone) == 0 || len(zone) > zoneMax {
		r.bad = true
	}
	return addr.WithZone(string(zone))
}
