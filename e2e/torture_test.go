package e2e

import (
	goflag "flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var torture = goflag.Int("torture", 3, "how many times to kill lunserve, its guard or both")

// Server, guard or both are killed at random moments, of a start and of an
// adoption too. fio verifies a file system and a raw disk meanwhile, and must see
// no error: if nobody serves the disks, the next start adopts them.
func TestKillsAtRandom(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir, mnt := tmpfsDir(t), t.TempDir()
	t.Logf("seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 1))
	for _, layers := range [][]string{nil, {"--overlay=" + filepath.Join(dir, "overlay.qcow2")}} {
		t.Run(fmt.Sprint("layers", len(layers)), func(t *testing.T) {
			images, args := []string{newImage(t, dir, 64<<20), newImage(t, dir, 64<<20)}, []string{"--restart"}
			if layers != nil {
				images, args = images[:1], append(args, layers...)
			}
			args = append(args, images...)
			s := start(t, args...)
			disks := s.disks
			run(t, "mkfs.ext4", "-q", disks[0])
			mount(t, disks[0], mnt)
			seconds := fmt.Sprint(10 + 10**torture)
			waits := []func() (string, error){verifying(t, filepath.Join(mnt, "file"), seconds, "--fsync=16")}
			if len(disks) > 1 {
				waits = append(waits, verifying(t, disks[1], seconds))
			}
			for n := range *torture {
				// Three deaths of one line in ten seconds would be too many.
				time.Sleep(5300*time.Millisecond + time.Duration(r.IntN(1000))*time.Millisecond)
				server := serverOf(t, images[0])
				switch r.IntN(3) {
				case 0:
					t.Logf("%d: the guard is killed", n)
					syscall.Kill(guardOf(t, server), syscall.SIGKILL)
				case 1:
					t.Logf("%d: the server is killed", n)
					syscall.Kill(server, syscall.SIGKILL)
				case 2:
					t.Logf("%d: both are killed", n)
					guard := guardOf(t, server)
					syscall.Kill(server, syscall.SIGSTOP)
					syscall.Kill(guard, syscall.SIGKILL)
					syscall.Kill(server, syscall.SIGKILL)
					// The next may be killed at any step; it may have a guard by then.
					for range r.IntN(3) {
						next := begin(t, args)
						time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
						next.Process.Kill()
					}
					begin(t, args)
				}
				serverOf(t, images[0])
			}
			for _, wait := range waits {
				worst, err := wait()
				t.Logf("fio: %s", worst)
				if err != nil {
					t.Error(err)
				}
			}
			for _, d := range list(t) {
				if !strings.Contains(strings.Join(disks, " ")+" ", d.Device+" ") {
					t.Errorf("%s is now %s, of %q", d.Image, d.Device, disks)
				}
			}
			run(t, "umount", mnt)
			run(t, "e2fsck", "-fn", disks[0])
			run(t, binary, append([]string{"detach"}, images...)...)
			awaitNoDisks(t)
			os.Remove(filepath.Join(dir, "overlay.qcow2"))
		})
	}
}

// begin starts lunserve, and does not wait for it.
func begin(t *testing.T, args []string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(binary, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go cmd.Wait()
	return cmd
}
