package e2e

import (
	goflag "flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var cuts = goflag.Int("cuts", 2, "how many power cuts to check for each image; 0 means one at each flush")

// An image is recorded while ext4 is made and used on its disk. At each flush the
// power may fail: what follows it is lost, in part or not. After the journal is
// replayed, e2fsck finds no error, and each file that was synced is whole.
func TestImagesAfterPowerCuts(t *testing.T) {
	needTarget(t)
	t.Logf("seed %d", *seed)
	for _, kind := range []string{"raw", "overlay"} {
		t.Run(kind, func(t *testing.T) {
			leavesNothing(t)
			dir, mnt := tmpfsDir(t), t.TempDir()
			image := newImage(t, dir, 16<<20)
			var rec *recorder
			var s *server
			if kind == "raw" {
				var path string
				rec, path = recordFile(t, image)
				s = start(t, path)
			} else {
				overlay := filepath.Join(dir, "overlay.qcow2")
				start(t, "--overlay="+overlay, image).ends() // makes it
				var path string
				rec, path = recordFile(t, overlay)
				s = start(t, "--overlay="+path, image)
			}
			made, synced := useExt4(t, s.disks[0], mnt, rec, kind == "overlay")
			s.ends()

			r := rand.New(rand.NewPCG(*seed, 3))
			at := rec.flushes()
			t.Logf("%d operations, %d of them flush; %d after mkfs; %d files were synced", len(rec.ops), len(at), len(rec.ops)-made, len(synced))
			if *cuts > 0 {
				r.Shuffle(len(at), func(i, k int) { at[i], at[k] = at[k], at[i] })
				at = at[:min(len(at), *cuts)]
			}
			for _, n := range at {
				// At the flush itself, and some operations later.
				later := n + r.IntN(min(20, len(rec.ops)-n+1))
				for _, c := range []struct {
					n int
					r *rand.Rand
				}{{n, nil}, {later, r}} {
					disk := filepath.Join(dir, "cut.img")
					rec.cut(t, disk, c.n, c.r)
					if kind == "overlay" {
						disk = convertOverlay(t, disk)
					}
					if c.n >= made {
						whole, _ := slices.BinarySearch(synced, c.n+1)
						checkExt4(t, disk, whole)
					}
					if t.Failed() {
						t.Fatalf("after %d of %d operations, the rest in part: %v", c.n, len(rec.ops), c.r != nil)
					}
				}
			}
		})
	}
}

// useExt4 makes and uses a file system. It returns how many operations of the
// recorder made it, and after how many each file was synced.
func useExt4(t *testing.T, disk, mnt string, rec *recorder, trims bool) (made int, synced []int) {
	t.Helper()
	run(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk)
	run(t, "sync", disk) // mkfs may write after its last flush
	made = rec.now()
	mount(t, disk, mnt)
	files := &syncer{dir: mnt}
	for n := range 24 {
		// Something that is not synced.
		other := filepath.Join(mnt, fmt.Sprint("other", n%5))
		err := os.WriteFile(other, noise(n<<10, byte(n)), 0o644)
		switch {
		case err == nil && n%3 == 0:
			err = os.Rename(other, other+"renamed")
		case err == nil && n%3 == 1:
			err = os.Remove(other)
		}
		if err == nil {
			err = files.writeNext()
		}
		if err != nil {
			t.Fatal(err)
		}
		files.files++
		synced = append(synced, rec.now())
	}
	if trims { // FUSE punches no holes here, so a raw image on it is fully provisioned
		run(t, "fstrim", mnt)
	}
	run(t, "umount", mnt)
	return made, synced
}

// checkExt4 replays the journal of a file system and checks it, with the first files.
func checkExt4(t *testing.T, image string, files int) {
	t.Helper()
	for _, d := range ext4Damage(t, image, files) {
		t.Error(d)
	}
}

// ext4Damage is checkExt4 that returns what is wrong.
func ext4Damage(t *testing.T, image string, files int) (damage []string) {
	t.Helper()
	// Exit status 1: it was modified.
	if out, err := try(t, "e2fsck", "-y", "-E", "journal_only", image); err != nil && !strings.HasSuffix(err.Error(), " 1") {
		damage = append(damage, fmt.Sprintf("e2fsck -E journal_only: %v\n%s", err, out))
	}
	if out, err := try(t, "e2fsck", "-fn", image); err != nil {
		damage = append(damage, fmt.Sprintf("e2fsck -fn: %v\n%s", err, out))
	}
	dir, err := os.MkdirTemp(filepath.Dir(image), "dump")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	run(t, "debugfs", "-R", "rdump / "+dir, image)
	if bad := brokenFiles(dir, files); bad != "" {
		damage = append(damage, bad)
	}
	return damage
}

// convertOverlay checks an overlay, and returns the disk in it as a raw image.
func convertOverlay(t *testing.T, overlay string) string {
	t.Helper()
	// Exit status 3: clusters are allocated and not used.
	if out, err := try(t, "qemu-img", "check", "-f", "qcow2", overlay); err != nil && !strings.HasSuffix(err.Error(), " 3") {
		t.Errorf("qemu-img check: %v\n%s", err, out)
	}
	image := overlay + ".raw"
	run(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", overlay, image)
	return image
}
