package packet

// ICMP types and codes (RFC 792, RFC 1812 5.2.7.1) that the router sends or
// tells apart.
const (
	ICMPEchoReply       = 0
	ICMPUnreachable     = 3
	ICMPSourceQuench    = 4
	ICMPRedirect        = 5
	ICMPEcho            = 8
	ICMPTimeExceeded    = 11
	ICMPParameter       = 12
	ICMPCodeNet         = 0  // of ICMPUnreachable
	ICMPCodeHost        = 1  // of ICMPUnreachable
	ICMPCodeProtocol    = 2  // of ICMPUnreachable
	ICMPCodePort        = 3  // of ICMPUnreachable
	ICMPCodeFragNeeded  = 4  // of ICMPUnreachable
	ICMPCodeSourceRoute = 5  // of ICMPUnreachable
	ICMPCodeProhibited  = 13 // of ICMPUnreachable
)

// ICMPv6 types and codes (RFC 4443, RFC 4861, RFC 2710, RFC 3810).
const (
	ICMPv6Unreachable     = 1
	ICMPv6TooBig          = 2
	ICMPv6TimeExceeded    = 3
	ICMPv6Parameter       = 4
	ICMPv6Echo            = 128
	ICMPv6EchoReply       = 129
	ICMPv6RouterSolicit   = 133
	ICMPv6RouterAdvert    = 134
	ICMPv6NeighborSolicit = 135
	ICMPv6NeighborAdvert  = 136
	ICMPv6Redirect        = 137
	ICMPv6MLDv2Report     = 143
	ICMPv6CodeNoRoute     = 0 // of ICMPv6Unreachable
	ICMPv6CodeProhibited  = 1 // of ICMPv6Unreachable
	ICMPv6CodeBeyondScope = 2 // of ICMPv6Unreachable
	ICMPv6CodeAddress     = 3 // of ICMPv6Unreachable
	ICMPv6CodePort        = 4 // of ICMPv6Unreachable
	ICMPv6CodeHeaderField = 0 // of ICMPv6Parameter
	ICMPv6CodeNextHeader  = 1 // of ICMPv6Parameter
	ICMPv6CodeHopLimit    = 0 // of ICMPv6TimeExceeded
)
