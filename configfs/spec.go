package configfs

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"
)

// A Spec says what a [Device] is to be. What is zero is left to the kernel,
// unless the field says otherwise.
type Spec struct {
	Image      string // the image's path: in the device's name, and shown to the curious
	Size       int64  // in bytes
	BlockSize  int    // in bytes
	MaxSectors int    // the most blocks in one command; rounded down to whole pages

	// Serial is the unit serial number. The kernel names files of its own after
	// it; what initiators read is up to whoever answers their commands.
	Serial string

	// Timeout is how long the kernel waits for an answer before it gives one
	// itself; 60 s if zero. It counts in seconds. Far from the 30 s after which
	// Linux asks what became of a command, so that the two do not race.
	Timeout time.Duration
}

// control is what the device's control file is given. Commas end a value there,
// 255 bytes are kept of config, and what the kernel does not know it ignores:
// hence a short config of ours and the reading back.
//
// nl_reply_supported=-1 must come before enable, which otherwise waits for ever
// for the answer of a tcmu-runner where one has ever run.
func (s Spec) control(config string) string {
	c := fmt.Sprintf("dev_config=%s,dev_size=%d,nl_reply_supported=-1", config, s.Size)
	if s.BlockSize != 0 {
		c += fmt.Sprintf(",hw_block_size=%d", s.BlockSize)
	}
	if n := s.maxSectors(); n > 0 {
		c += fmt.Sprintf(",hw_max_sectors=%d", n)
	}
	return c
}

// maxSectors is MaxSectors as the kernel takes it, in multiples of a page. It
// rounds down, even to zero.
func (s Spec) maxSectors() int {
	perPage := max(1, os.Getpagesize()/cmp.Or(s.BlockSize, 512))
	if s.MaxSectors == 0 {
		return 0
	}
	return max(perPage, s.MaxSectors/perPage*perPage)
}

// clean is a file's name as part of a kernel object's, and of command lines, where
// it must not look like a flag.
func sanitize(base string) string {
	if len(base) > 64 {
		base = base[:64]
	}
	if strings.HasPrefix(base, "-") {
		base = "_" + base[1:]
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-", r):
			return r
		}
		return '_'
	}, base)
}
