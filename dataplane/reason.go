package dataplane

// Reason is why a frame was dropped; each has a counter of its own.
type Reason uint8

// String returns the reason's name in counters: lower case, words joined by
// underscores.
func (r Reason) String() string { return reasonNames[r] }

// The reasons.
const (
	ReasonNone               Reason = iota
	ReasonPort                      // the ingress port is unknown or not up
	ReasonRunt                      // shorter than an Ethernet header
	ReasonVLAN                      // 802.1Q or 802.1ad tag on an untagged port
	ReasonForeignMAC                // addressed to another station
	ReasonNotOurs                   // addressed to a MAC whose frames are the host kernel's (addresses = "host")
	ReasonNotMaster                 // virtual MAC of a virtual router of which this router is not Master
	ReasonLeaseExpired              // virtual MAC while the forwarding lease has run out
	ReasonEtherType                 // neither ARP nor IPv4 nor IPv6
	ReasonLinkBroadcast             // unicast IP packet in a link-layer broadcast or multicast (RFC 1812 5.3.4)
	ReasonMulticast                 // IP multicast that the router does not listen to
	ReasonBroadcast                 // to 255.255.255.255
	ReasonDirectedBroadcast         // to the broadcast address of a connected prefix (RFC 2644)
	ReasonHeader                    // version, header length or packet length is wrong (RFC 1812 5.2.2)
	ReasonChecksum                  // IPv4 header checksum is wrong
	ReasonOptions                   // malformed IPv4 options
	ReasonSourceRoute               // IPv4 source route option (RFC 7126 4.3, 4.4)
	ReasonMartianSource             // source that no packet may have (RFC 1812 5.3.7, RFC 6890)
	ReasonMartianDestination        // destination that no packet may have
	ReasonSpoofed                   // the source is an address of this router
	ReasonScope                     // link-local source or destination of another link (RFC 3927 2.7, RFC 4291 2.5.6)
	ReasonNotAccepted               // to a virtual address with accept = false
	ReasonHostAddress               // to an address that the host's kernel owns
	ReasonBlackhole                 // blackhole route
	ReasonNoRoute                   // own packet without a route
	ReasonUnreachable               // own packet to an unreachable route or a port that is down
	ReasonTooBig                    // own packet larger than the MTU that may not be fragmented
	ReasonOffload                   // virtio-net header that contradicts the packet, or GSO that cannot be cut
	ReasonICMPLimited               // ICMP error not sent: rate limit
	ReasonICMPForbidden             // ICMP error not sent: about a packet that must not cause one (RFC 1812 4.3.2.7, RFC 4443 2.4)
	NumReasons               = iota
)

var reasonNames = [NumReasons]string{
	"none", "port", "runt", "vlan", "foreign_mac", "not_ours", "not_master",
	"lease_expired", "ethertype", "link_broadcast", "multicast", "broadcast",
	"directed_broadcast", "header", "checksum", "options", "source_route",
	"martian_source", "martian_destination", "spoofed", "scope",
	"not_accepted", "host_address", "blackhole", "no_route", "unreachable",
	"too_big", "offload", "icmp_limited", "icmp_forbidden",
}
