// Package planted has tests of the tests: bugs that are planted into the sources,
// one at a time, each of which the tests of its package must find.
package planted
