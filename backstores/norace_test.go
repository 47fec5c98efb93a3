//go:build !race

package backstores_test

const raceEnabled = false
