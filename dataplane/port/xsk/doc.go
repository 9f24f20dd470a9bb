// Package xsk is AF_XDP as ports use it (Documentation/networking/af_xdp.rst in
// the kernel): memory that is shared with the kernel and between devices
// (Memory), the queues of devices (Queue), and the program that sends frames their
// way (Program).
//
//   - A Sender transmits frames of at most FrameSize bytes: by a third cheaper
//     than sendmmsg. A frame that lies in the Memory is not copied. It needs no
//     program on the device, so packet sockets' ports use it too.
//   - A Receiver has the frames that the Program redirects to its queue.
//
// Everything here is for one thread at a time, but what says otherwise.
package xsk
