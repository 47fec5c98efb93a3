//go:build race

package scsi

// raceEnabled is set when tests run under the race detector, for which megabytes
// take seconds.
const raceEnabled = true
