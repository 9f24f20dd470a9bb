// Package netstack is the only one that imports gVisor's TCP/IP stack. It has
// two uses of it:
//
//   - Stack is the local stack: what is addressed to the router itself.
//   - Engine is the reference forwarder (engine = "netstack").
package netstack
