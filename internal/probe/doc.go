// Package probe holds tests that know vrouter only as a program: they run it in
// network namespaces, send it frames that are built here byte by byte from the
// RFCs, and judge what it sends. They share no code with it, so that a mistake
// in a codec cannot hide itself.
package probe
