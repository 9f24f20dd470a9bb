//go:build race

package sim

// underRace is true where the race detector makes everything ten times slower.
const underRace = true
