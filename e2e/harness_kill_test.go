package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// dies kills the server, whose disk is mounted on mnt, and cleans up after it.
// Without a server each command would wait until it times out. In configfs dies
// removes what is not among the old traces.
func (s *server) dies(old []string, mnt string) {
	t := s.t
	t.Helper()
	s.stop(syscall.SIGKILL)
	set := func(pattern, value string) {
		t.Helper()
		for _, path := range glob(t, pattern) {
			if err := os.WriteFile(path, []byte(value), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, disk := range s.disks {
		device := "/sys/class/block/" + filepath.Base(disk) + "/device"
		set(device+"/state", "offline\n")
		set(device+"/scsi_disk/*/cache_type", "temporary write through\n") // no server could flush it
	}
	set(configfs+"/core/user_*/*/action/block_dev", "1")
	set(configfs+"/core/user_*/*/action/reset_ring", "2") // fails all outstanding commands
	run(t, "umount", mnt)
	for _, path := range slices.Backward(traces(t)) {
		if strings.HasPrefix(path, configfs) && !slices.Contains(old, path) {
			os.Remove(path) // fails for what the kernel removes with its folder
		}
	}
}
