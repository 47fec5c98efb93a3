package configfs

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"
)

// A Spec describes a [Device]. The kernel chooses for zero values, unless the
// field says otherwise.
type Spec struct {
	Image      string // its path; in the device's name, and shown in udev_path
	Size       int64  // in bytes
	BlockSize  int    // in bytes
	MaxSectors int    // the most blocks of one command; rounded down to whole pages

	// Serial is the unit serial number. The kernel names files after it. The
	// server of the ring reports it to initiators.
	Serial string

	// Removable is whether the server presents a removable disk.
	Removable bool

	// WWN and Contents are kept in the device for the process that adopts it, see [Export].
	WWN, Contents string

	// Timeout is the kernel's timeout of a command on the ring, in whole
	// seconds; 60 s if zero. It should differ from the 30 s of Linux's SCSI
	// timeout, so that the two do not race.
	Timeout time.Duration
}

// control returns the text for the control file of the device. A comma ends a
// value there, 255 bytes are kept of dev_config, and unknown keys are ignored.
// Hence dev_config is short, and the values are read back.
//
// nl_reply_supported=-1 must be set before enable. Otherwise enable waits
// forever for tcmu-runner where that has ever run.
func (s Spec) control(config string) string {
	c := fmt.Sprintf("dev_config=%s,dev_size=%d,nl_reply_supported=-1,cmd_ring_size_mb=%d", config, s.Size, ringSize)
	if s.BlockSize != 0 {
		c += fmt.Sprintf(",hw_block_size=%d", s.BlockSize)
	}
	if n := s.maxSectors(); n > 0 {
		c += fmt.Sprintf(",hw_max_sectors=%d", n)
	}
	return c
}

// ringSize is that of the command ring, in MiB; 8 is the default of kernels, some of which
// know no other. The kernel allocates and clears it for each device. A command takes 64
// bytes and more: 48, its CDB, and 16 for each run of its pages. If the ring is full, the
// kernel keeps further commands.
const ringSize = 1

// maxSectors returns MaxSectors in multiples of a page, but at least one: the
// kernel rounds down, even to zero.
func (s Spec) maxSectors() int {
	perPage := max(1, os.Getpagesize()/cmp.Or(s.BlockSize, 512))
	if s.MaxSectors == 0 {
		return 0
	}
	return max(perPage, s.MaxSectors/perPage*perPage)
}

// sanitize returns a file name as part of a kernel object's name. It never
// looks like a flag.
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

// atMost returns the first n bytes of s, without a part of a character.
func atMost(n int, s string) string {
	return strings.ToValidUTF8(s[:min(n, len(s))], "")
}
