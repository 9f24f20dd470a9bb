package neigh

import (
	"net/netip"

	"vrouter/packet"
)

// Key names a neighbour: an address on the link of a port. Addr has no zone;
// the port says which link a link-local address is on.
type Key struct {
	Port uint16
	Addr netip.Addr
}

// Waiting is a packet that waits until its neighbour is resolved: unchanged
// as it came in. The cache keeps Frame without copying it, so it must not be
// part of a receive batch.
type Waiting struct {
	In    uint16 // the port it came in on
	Local bool   // it was sent by our local stack
	Frame []byte // from the destination MAC on
	VNet  packet.VNet
}

// Action is what a Cache or a Prober wants done. Actions are carried out in
// the order in which they are returned.
type Action interface{ isAction() }

// Solicit asks for a neighbour's MAC, or (MAC not zero) asks the neighbour at
// MAC whether it is still there: an ARP request or Neighbor Solicitation,
// broadcast or to the solicited-node group, or unicast to MAC.
type Solicit struct {
	Key Key
	MAC packet.MAC
}

// Update says that the forwarding plane must change: packets to Key go to MAC
// from now on, or (Reachable false) the neighbour is not known any more.
type Update struct {
	Key       Key
	MAC       packet.MAC
	Reachable bool
}

// Send hands back packets whose neighbour is known now. It always comes after
// the Update that it depends on.
type Send struct {
	Key     Key
	Waiting []Waiting
}

// Fail hands back packets whose neighbour did not answer: each is answered
// with ICMP host unreachable / address unreachable (RFC 1812 5.2.7.1, RFC
// 4861 7.2.2), or just dropped.
type Fail struct {
	Key     Key
	Waiting []Waiting
}

// SendProbe asks whether somebody else has Key.Addr: an ARP Probe (RFC 5227
// 2.1.1) or a Neighbor Solicitation from :: (RFC 4862 5.4.2).
type SendProbe struct{ Key Key }

// SendAnnounce tells everybody that Key.Addr is ours: an ARP Announcement
// (RFC 5227 2.3) or an unsolicited Neighbor Advertisement with Override (RFC
// 4861 7.2.6).
type SendAnnounce struct{ Key Key }

// Conflicted is a loud event: the station MAC uses our address Key.Addr too.
type Conflicted struct {
	Key Key
	MAC packet.MAC
}

// Confirmed says that nobody else was found to use Key.Addr.
type Confirmed struct{ Key Key }

func (Solicit) isAction()      {}
func (Update) isAction()       {}
func (Send) isAction()         {}
func (Fail) isAction()         {}
func (SendProbe) isAction()    {}
func (SendAnnounce) isAction() {}
func (Conflicted) isAction()   {}
func (Confirmed) isAction()    {}
