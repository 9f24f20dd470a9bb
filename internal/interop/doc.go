// Package interop tests the vrouter program as it is built, among others: real
// Linux hosts around it, keepalived and FRR as the other router, tshark as the
// reader of what it sends. It has only tests. They run in namespaces of their
// own, need no privileges, and skip what a missing tool would be needed for.
package interop
