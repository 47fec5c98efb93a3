package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each kind of user keeps a disk from being detached, and is named. The kinds are
// made for real: what the kernel shows of them differs.
func TestEveryUserOfADiskStopsDetach(t *testing.T) {
	needTarget(t)
	disk := func(t *testing.T) string {
		device := loop(t, newImage(t, tmpfsDir(t), 512<<20))
		t.Cleanup(func() { run(t, "blockdev", "--flushbufs", device) })
		return device
	}
	// node makes another node of the disk.
	node := func(t *testing.T, of string) string {
		var st unix.Stat_t
		if err := unix.Stat(of, &st); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(tmpfsDir(t), "node")
		if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(st.Rdev)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	backstore := func(t *testing.T, d, path string) {
		run(t, "modprobe", "target_core_iblock")
		dir := configfs + "/core/iblock_9/x"
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for _, dir := range []string{dir, filepath.Dir(dir)} {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			}
		})
		for _, a := range []struct{ name, value string }{{"control", "udev_path=" + d}, {"udev_path", path}, {"enable", "1"}} {
			if a.value == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, a.name), []byte(a.value), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name string
		use  func(t *testing.T, d string)
		want string
	}{
		{"btrfs of two devices", func(t *testing.T, d string) {
			first := disk(t)
			run(t, "mkfs.btrfs", "-q", "-f", first, d)
			mount(t, first, t.TempDir(), "-o", "device="+d) // no udevd runs
		}, "mounted on /"},
		{"log of XFS", func(t *testing.T, d string) {
			data := disk(t)
			run(t, "mkfs.xfs", "-q", "-l", "logdev="+d, data)
			mount(t, data, t.TempDir(), "-o", "logdev="+d)
		}, "mounted on /"},
		{"journal of ext4", func(t *testing.T, d string) {
			data := disk(t)
			run(t, "mke2fs", "-q", "-b", "4096", "-O", "journal_dev", d)
			run(t, "mkfs.ext4", "-q", "-b", "4096", "-J", "device="+d, data)
			mount(t, data, t.TempDir())
		}, "used by a file system, as its journal"},
		{"loop device", func(t *testing.T, d string) {
			loop(t, d)
		}, "part of loop"},
		{"file system on a loop device", func(t *testing.T, d string) {
			device := loop(t, d)
			run(t, "mkfs.ext4", "-q", device)
			mount(t, device, t.TempDir())
		}, "mounted on /"},
		{"LIO", func(t *testing.T, d string) { backstore(t, d, d) }, "used by the backstore iblock_9/x"},
		{"LIO that does not say so", func(t *testing.T, d string) { backstore(t, d, "") }, "in use by the kernel"},
		{"process with a node of its own", func(t *testing.T, d string) {
			background(t, exec.Command("sh", "-c", `exec sleep 1000 <"$0"`, node(t, d)))
		}, "opened by sleep"},
		{"mount of another namespace", func(t *testing.T, d string) {
			run(t, "mkfs.ext4", "-q", d)
			background(t, exec.Command("unshare", "--mount", "sh", "-c", `mount "$0" /mnt && exec sleep 1000`, node(t, d)))
		}, `mounted on /mnt for sleep`},
		{"swap by a node of its own", func(t *testing.T, d string) {
			path := node(t, d)
			run(t, "mkswap", d)
			run(t, "swapon", path)
			t.Cleanup(func() { run(t, "swapoff", path) })
		}, "swap space"},
		{"device mapper, as LVM and multipath", func(t *testing.T, d string) {
			run(t, "dmsetup", "create", "lunserve-test", "--table", "0 2048 linear "+d+" 0")
			t.Cleanup(func() { run(t, "dmsetup", "remove", "--retry", "lunserve-test") })
		}, "part of mapper/lunserve-test"},
		{"md on a partition", func(t *testing.T, d string) {
			run(t, "sh", "-c", `echo , | sfdisk -q "$0"`, d)
			run(t, "udevadm", "settle")
			run(t, "mdadm", "--quiet", "--create", "/dev/md9", "--run", "--force", "--level=1", "--raid-devices=1", "--metadata=1.2", d+"1")
			t.Cleanup(func() { run(t, "mdadm", "--quiet", "--stop", "/dev/md9") })
		}, "part of md9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leavesNothing(t)
			image := newImage(t, tmpfsDir(t), 512<<20)
			s := start(t, image)
			t.Run("in use", func(t *testing.T) {
				tt.use(t, s.disks[0])
				out := fails(t, binary, "detach", image)
				if !strings.Contains(out, tt.want) {
					t.Errorf("detach says %q, want %q", out, tt.want)
				}
				s.signal(syscall.SIGINT)
				s.stderr.await(t, regexp.QuoteMeta(s.disks[0]+" is "+tt.want))
			})
			if status := s.stop(syscall.SIGINT); status != 0 {
				t.Errorf("exit status %d, after the users have gone\n%s", status, s.stderr)
			}
		})
	}
}

// background runs a command that ends as sleep, until t ends.
func background(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for end := time.Now().Add(timeLimit); ; time.Sleep(10 * time.Millisecond) {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
		if err != nil || time.Now().After(end) {
			t.Fatalf("%v: did not get to sleep: %v", cmd, err)
		}
		if string(name) == "sleep\n" {
			return
		}
	}
}
