//go:build race

package backstores_test

// The race detector empties pools now and then, on purpose.
const raceEnabled = true
