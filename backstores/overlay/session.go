package overlay

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Session identifies a boot of the host and a mount. Within one session a
// file holds everything that was written to it, synced or not.
type Session [16]byte

// SessionOf returns the session that an open file is in. If the host does not
// provide it, each call returns a new one.
func SessionOf(fd int) (s Session) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var st unix.Statx_t
	if err == nil {
		err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID|unix.STATX_INO, &st)
	}
	if err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		rand.Read(s[:])
		return s
	}
	sum := sha256.Sum256(fmt.Appendf(boot, "%d %d:%d %d", st.Mnt_id, st.Dev_major, st.Dev_minor, st.Ino))
	return Session(sum[:])
}
