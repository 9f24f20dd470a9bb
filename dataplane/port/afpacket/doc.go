// Package afpacket is a port on an existing network device, by packet sockets
// (packet(7)): a receive ring of version 2 for each queue, sendmmsg to
// transmit, and the virtio-net header in both directions, so that GSO frames
// and partial checksums of local senders pass as they are.
//
// A port outlives its device: it waits for one that does not exist, and opens
// it again when it comes back. What the port changes on a device it changes
// back; most of it is gone with its sockets, however the process ends.
package afpacket
