// Package xsk is AF_XDP as ports use it (Documentation/networking/af_xdp.rst in
// the kernel): memory that is shared with the kernel (UMEM), and rings of
// descriptors in it. It knows nothing of frames' contents.
//
//   - Sender transmits small frames for a packet socket's port: about a third of
//     sendmmsg's cost, and it needs no program on the device.
//
// Everything here is for one thread at a time, but what says otherwise.
package xsk
