//go:build race

package overlay_test

// The race detector empties pools at random.
const raceEnabled = true
