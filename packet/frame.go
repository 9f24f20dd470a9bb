package packet

// Frame is one Ethernet frame and the virtio-net header that travels with it
// from port to port.
//
// Data starts at the destination MAC and ends with the payload. Whoever hands
// a Frame on says how long Data stays valid; a port's receive batch is valid
// until the next Receive on the same queue, and may be rewritten in place
// until then.
type Frame struct {
	Data []byte
	VNet VNet
}

// VNetLen is the length of the virtio-net header as the kernel passes it on a
// TAP or packet socket with header size 12 (virtio 1.2, 5.1.6; <linux/virtio_net.h>
// struct virtio_net_hdr_mrg_rxbuf).
const VNetLen = 12

// VNet is the virtio-net header. Its memory layout is the kernel's: fields in
// host byte order, 12 bytes, no padding. The zero value means: one complete
// frame, checksums in place, not segmented.
type VNet struct {
	Flags      uint8  // VNetNeedsCsum, VNetDataValid
	GSOType    uint8  // GSONone, GSOTCPv4, ...
	HdrLen     uint16 // Ethernet+IP+transport header; a hint
	GSOSize    uint16 // payload bytes of each segment
	CsumStart  uint16 // where to start summing, from the frame's start
	CsumOffset uint16 // where to store the sum, from CsumStart
	NumBuffers uint16 // unused on TAP and packet sockets
}

// Flags of VNet.
const (
	VNetNeedsCsum = 1 // the transport checksum is partial: pseudo header only
	VNetDataValid = 2 // the checksum was verified
)

// GSO types of VNet.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOUDP   = 3 // UFO, obsolete
	GSOTCPv6 = 4
	GSOUDPL4 = 5    // USO
	GSOECN   = 0x80 // flag: TCP has ECN set
)

// IsGSO reports whether the frame is larger than one packet on the wire and
// must be cut into segments.
func (v *VNet) IsGSO() bool { return v.GSOType&^GSOECN != GSONone }

// Offload is the set of virtio-net features that a port accepts in frames it
// is asked to transmit.
type Offload uint8

// Features of Offload.
const (
	OffloadCsum Offload = 1 << iota // VNetNeedsCsum
	OffloadTSO4                     // GSOTCPv4
	OffloadTSO6                     // GSOTCPv6
	OffloadUSO                      // GSOUDPL4
)
