package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// dies kills the server of a disk that is mounted on mnt, and does what is left
// to do: without a server each command waits until the kernel gives up. What
// was not there before, by the old traces, is removed.
func (s *server) dies(old []string, mnt string) {
	t := s.t
	t.Helper()
	s.stop(syscall.SIGKILL)
	tell := func(pattern, value string) {
		t.Helper()
		for _, path := range glob(t, pattern) {
			if err := os.WriteFile(path, []byte(value), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, disk := range s.disks {
		device := "/sys/class/block/" + filepath.Base(disk) + "/device"
		tell(device+"/state", "offline\n")
		tell(device+"/scsi_disk/*/cache_type", "temporary write through\n") // there is nobody to flush it
	}
	tell(configfs+"/core/user_*/*/action/block_dev", "1")
	tell(configfs+"/core/user_*/*/action/reset_ring", "2") // answers what is on the way by an error
	run(t, "umount", mnt)
	for _, path := range slices.Backward(traces(t)) {
		if strings.HasPrefix(path, configfs) && !slices.Contains(old, path) {
			os.Remove(path) // the kernel refuses what goes with its folder
		}
	}
}
