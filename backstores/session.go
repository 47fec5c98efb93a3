package backstores

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// session tells the boot of the host and the mount that an open file is in. As
// long as it is the same, what was written to the file is there, synced or
// not. It is new each time where the host does not tell.
func session(fd int) (id [16]byte) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var st unix.Statx_t
	if err == nil {
		err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID|unix.STATX_INO, &st)
	}
	if err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		rand.Read(id[:])
		return id
	}
	sum := sha256.Sum256(fmt.Appendf(boot, "%d %d:%d %d", st.Mnt_id, st.Dev_major, st.Dev_minor, st.Ino))
	return [16]byte(sum[:])
}
