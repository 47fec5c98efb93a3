package raw

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A file that replaces another one takes over its owner and mode if the other
// one is ours: it belongs to the user of this process or, if that is root, to
// the user of sudo, and has no other name. So pack and unpack can be repeated. It
// also does if it is made from the other one alone, whose users know what it
// holds.
//
// Any other file may have been put there for its owner to read what root writes.
// Then the new file belongs to the user of this process, and grants no more than
// the images that it is made from, and no more than the other one.

// private is the mode of a file that only its owner may use.
const private = 0o600

// ours reports whether the file with this status is ours.
func ours(st *unix.Stat_t) bool {
	uid := os.Geteuid()
	if st.Nlink > 1 {
		return false // a hard link to a file that is somewhere else
	}
	return int(st.Uid) == uid || uid == 0 && strconv.Itoa(int(st.Uid)) == os.Getenv("SUDO_UID")
}

// modeOf returns the mode for a file that is made from these images. It grants
// nothing that one of them does not.
func modeOf(images ...string) uint32 {
	mode := uint32(0o666)
	for _, path := range images {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil { // an image without a mode cannot be opened either
			mode &= st.Mode
		}
	}
	return mode | private
}

// takeOwnership gives a private file the owner and mode of the file that it
// replaces. If we may not set the group, its members get the permissions of
// others.
func takeOwnership(fd int, st *unix.Stat_t) {
	mode := st.Mode & 0o777
	unix.Fchown(fd, int(st.Uid), -1)
	if unix.Fchown(fd, -1, int(st.Gid)) != nil {
		mode = mode&^0o070 | mode&0o007<<3
	}
	unix.Fchmod(fd, mode)
}
