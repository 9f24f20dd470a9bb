package afpacket

import "vrouter/packet"

// geometry is the layout of a receive ring: slots of slotSize bytes each,
// perBlock of them in a block of blockSize bytes, which may end in unused room.
type geometry struct {
	slotSize, slots     int
	blockSize, perBlock int
}

func (g geometry) bytes() int { return g.slots / g.perBlock * g.blockSize }

const (
	blockSize = 1 << 20
	// ringSize is that of a ring with small slots: 4096 frames, which is what comes
	// in the 4 ms of a tick at a million a second, for a worker that is not let run.
	// Rings of 16 MiB lose less still, but a flood that goes around in them is slower
	// by a tenth, since more than the cache holds is in use.
	ringSize = 8 << 20

	// slotHead is what a slot holds before the frame: struct tpacket2_hdr,
	// struct sockaddr_ll, the virtio-net header, alignment.
	slotHead = 96

	// enoughQueue is a receive buffer that holds a burst of 64 KiB frames.
	enoughQueue = 8 << 20

	// largeSlot holds the largest frame there is.
	largeSlot   = 68 << 10
	largeBlocks = 32
)

// chooseGeometry returns the layout for a device's MTU and the socket's
// receive buffer in bytes.
//
// A slot holds a full packet of the wire; GSO frames, which are larger, come
// by the socket's receive buffer. Where that may not be made large (in a user
// namespace, net.core.rmem_max counts), slots are large instead: fewer for
// more memory, but no burst of GSO frames is lost.
func chooseGeometry(mtu, receiveBuffer int) geometry {
	slot, blocks := 2<<10, ringSize/blockSize
	for slot < mtu+packet.EthernetLen+vlanLen+slotHead {
		slot *= 2
	}
	if receiveBuffer < enoughQueue || slot > largeSlot {
		slot, blocks = largeSlot, largeBlocks
	}
	perBlock := blockSize / slot
	return geometry{slotSize: slot, slots: blocks * perBlock, blockSize: blockSize, perBlock: perBlock}
}
