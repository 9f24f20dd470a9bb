// Package afpacket is a port on an existing network device, by packet sockets
// (packet(7)): a receive ring of version 2 for each queue, sendmmsg to
// transmit, and the virtio-net header in both directions, so that GSO frames
// and partial checksums of local senders pass as they are. Four and more small
// frames in a row, as a flood has them, go by AF_XDP where the device has no
// queueing discipline (package xsk): that needs no program on the device and no
// privilege beyond CAP_NET_RAW, but a packet sniffer on the device does not see
// them (one at the other end, or on the port where they came in, does).
//
// A port outlives its device: it waits for one that does not exist, and opens
// it again when it comes back. What the port changes on a device (set up, MTU)
// it changes back when it closes; all else is gone with its sockets, however
// the process ends: the addresses that the device lets through, promiscuous
// mode, and the filter that keeps the kernel off.
//
// Why it is built so, measured on Linux 6.18 over veth pairs, two cores:
//
//   - A version 3 ring wakes its reader when a block is full or 1 ms old: at
//     1,000 frames a second the median frame waited 14 times as long as in a
//     version 2 ring, which wakes for each frame, and the 99th percentile 25
//     times. Reading a waiting frame costs 1/50 of sending it, so there is
//     nothing in a flood that version 3 could win back.
//   - Slots of the MTU's size, with frames larger than that read from the
//     socket's queue (PACKET_COPY_THRESH), carry a TCP stream as fast as slots
//     of 68 KiB, in an eighth of the memory. They lose frames where the queue
//     may not hold a burst (one of 14 with 416 KiB), so where SO_RCVBUFFORCE
//     is refused, as in a user namespace, the slots are large.
//   - A frame of 60 bytes costs 665 ns by sendmmsg and 436 ns by AF_XDP in copy
//     mode, 64 in a batch, the peer's side of the veth included
//     (BenchmarkTransmit64); alone it costs the same either way.
//   - PACKET_QDISC_BYPASS made no difference that repeated, and would take the
//     frames past the operator's traffic control. It is not used.
package afpacket
