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
	hopsUsual = 2 * RoutesMax
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

// Flags of a route, and of a list of hops.
const (
	flagIPv6     = 1 << 0
	flagExternal = 1 << 1 // of a list, too
	flagFrom     = 1 << 2 // of a list, too: each hop is followed by who it is from
	flagSpare    = 1 << 3 // a second list follows
)

// Flags of a hop.
const flagZone = 1 << 1 // and flagIPv6

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
// far as its length goes, and the hops; then those of the spare route, if there
// is one, after flags and number of their own.
func appendRoute(b []byte, r *Route) []byte {
	flags := listFlags(r.External, r.From)
	if r.Prefix.Addr().Is6() {
		flags |= flagIPv6
	}
	if len(r.Spare.Hops) > 0 {
		flags |= flagSpare
	}
	b = append(b, flags, byte(r.Prefix.Bits()), byte(min(len(r.Hops), HopsMax)))
	whole := r.Prefix.Addr().As16()
	from := 0
	if r.Prefix.Addr().Is4() {
		from = 12
	}
	b = append(b, whole[from:from+(r.Prefix.Bits()+7)/8]...)
	b = appendHops(b, r.Hops, r.From)
	if s := &r.Spare; len(s.Hops) > 0 {
		b = append(b, listFlags(s.External, s.From), byte(min(len(s.Hops), HopsMax)))
		b = appendHops(b, s.Hops, s.From)
	}
	return b
}

func listFlags(external bool, from []uint32) (flags byte) {
	if external {
		flags |= flagExternal
	}
	if len(from) > 0 {
		flags |= flagFrom
	}
	return flags
}

// appendHops writes hops, with who each is from where that is told: from is as
// long as hops, or empty.
func appendHops(b []byte, hops []netip.Addr, from []uint32) []byte {
	for i, h := range hops[:min(len(hops), HopsMax)] {
		b = appendHop(b, h)
		if len(from) > 0 {
			b = binary.BigEndian.AppendUint32(b, from[i])
		}
	}
	return b
}

func appendHop(b []byte, h netip.Addr) []byte {
	if h.Is4() {
		four := h.As4()
		return append(append(b, 0), four[:]...)
	}
	six, zone := h.As16(), h.Zone()
	if zone == "" {
		return append(append(b, flagIPv6), six[:]...)
	}
	zone = zone[:min(len(zone), zoneMax)]
	b = append(append(b, flagIPv6|flagZone), six[:]...)
	return append(append(b, byte(len(zone))), zone...)
}

// ParseRoutes decodes the body of a message of routes, appending to routes. It
// refuses what AppendRoutes would not have made.
func ParseRoutes(body []byte, routes []Route) ([]Route, error) {
	r := reader{rest: body, allHops: make([]netip.Addr, 0, hopsUsual), allFrom: make([]uint32, 0, hopsUsual)}
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
	// Where the hops of all routes are: one room for them all instead of one for
	// each route.
	allHops []netip.Addr
	allFrom []uint32
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
	if flags&^(flagIPv6|flagExternal|flagFrom|flagSpare) != 0 || bits > longest || hops > HopsMax {
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
	route.Hops, route.From = r.hops(hops, flags)
	if flags&flagSpare != 0 {
		route.Spare = r.spare()
	}
	return route
}

func (r *reader) spare() Spare {
	flags, hops := r.byte(), int(r.byte())
	if flags&^(flagExternal|flagFrom) != 0 || hops == 0 || hops > HopsMax {
		r.bad = true
		return Spare{}
	}
	s := Spare{External: flags&flagExternal != 0}
	s.Hops, s.From = r.hops(hops, flags)
	return s
}

// hops reads so many hops, and who they are from where the flags say so.
func (r *reader) hops(n int, flags byte) (hops []netip.Addr, from []uint32) {
	if flags&flagFrom != 0 && n == 0 {
		r.bad = true
	}
	hopsBegin, fromBegin := len(r.allHops), len(r.allFrom)
	for range n {
		if r.bad {
			return nil, nil
		}
		r.allHops = append(r.allHops, r.hop())
		if flags&flagFrom != 0 {
			if b := r.take(4); b != nil {
				r.allFrom = append(r.allFrom, binary.BigEndian.Uint32(b))
			}
		}
	}
	// What is appended later goes behind, or elsewhere: these stay as they are.
	if n > 0 {
		hops = r.allHops[hopsBegin:len(r.allHops):len(r.allHops)]
	}
	if len(r.allFrom) > fromBegin {
		from = r.allFrom[fromBegin:len(r.allFrom):len(r.allFrom)]
	}
	return hops, from
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
