package e2e

import (
	"fmt"
	"os"
	"testing"
)

func TestPartitionsAreThereWhenThePathIs(t *testing.T) {
	for _, label := range []string{"gpt", "dos"} {
		for _, sector := range []int{512, 4096} {
			t.Run(fmt.Sprintf("%s/%d", label, sector), func(t *testing.T) {
				needTarget(t)
				arg, image := fmt.Sprintf("--sector-size=%d", sector), newImage(t, tmpfsDir(t), 64<<20)
				s := start(t, arg, image)
				partition(t, s.disks[0], label)
				write(t, s.disks[0]+"2", 4096, noise(4096, 1))
				s.ends()

				s = start(t, arg, image)
				for _, part := range []string{"1", "2"} {
					if fi, err := os.Stat(s.disks[0] + part); err != nil || fi.Mode().Type() != os.ModeDevice {
						t.Errorf("%s%s is not a block device when the path is printed: %v", s.disks[0], part, err)
					}
				}
				holds(t, s.disks[0]+"2", 4096, noise(4096, 1))
				holds(t, image, 4<<20+4096, noise(4096, 1))
				says(t, "sfdisk", "--dump", s.disks[0]).has(`label: %s`, label)

				// A partition in use keeps the disk from being removed.
				run(t, "mkfs.ext4", "-q", s.disks[0]+"1")
				dir := t.TempDir()
				mount(t, s.disks[0]+"1", dir)
				s.signal(os.Interrupt)
				s.stderr.await(t, `(?m)^lunserve: `+s.disks[0]+` is mounted on `+dir+`;`)
				run(t, "umount", dir)
				s.ends()
			})
		}
	}
}

// partition makes two partitions: 1 MiB to 4 MiB, and the rest of the disk.
func partition(t *testing.T, disk, label string) {
	t.Helper()
	run(t, "sh", "-c", `printf 'start=1MiB, size=3MiB\nstart=4MiB\n' | sfdisk --quiet --label "$0" "$1"`, label, disk)
}
