//go:build !amd64 && !arm64

package confine

// There is no filter for this architecture.
const arch = 0

var refused []uint32
