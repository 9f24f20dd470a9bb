//go:build race

package netstack

// underRace is true where the race detector makes gVisor a hundred times slower.
const underRace = true
