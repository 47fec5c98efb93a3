package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestSizeMakesASparseImage(t *testing.T) {
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			needTarget(t)
			image := filepath.Join(place.dir(t), "new.img")
			s := start(t, "--size=10G", image)
			says(t, "blockdev", "--getsize64", s.disks[0]).has(`^10737418240\n`)
			write(t, s.disks[0], 1<<30, noise(1<<20, 1))
			s.ends()
			fi, err := os.Stat(image)
			if err != nil || fi.Size() != 10<<30 || fi.Mode() != 0o644 {
				t.Fatalf("the image is %v, %v", fi, err)
			}
			if n := allocated(t, image); n > 2<<20 {
				t.Errorf("the image takes %d bytes", n)
			}

			// The existing image is kept.
			s = start(t, "--size=10G", image)
			holds(t, s.disks[0], 1<<30, noise(1<<20, 1))
			s.ends()
		})
	}
}

// A warning names the bytes after the last whole block, which are never written.
func TestSizeIsRoundedDown(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20+4096+1000)
	write(t, image, 1<<20, noise(4096+1000, 1))
	for _, tt := range []struct {
		flag string
		size int64
		rest string
	}{
		{"--sector-size=512", 1<<20 + 4096 + 512, "488"},
		{"--sector-size=4096", 1<<20 + 4096, "1000"},
	} {
		s := start(t, tt.flag, image)
		says(t, "blockdev", "--getsize64", s.disks[0]).has(`^%d\n`, tt.size)
		s.stderr.await(t, `(?m)^lunserve: `+regexp.QuoteMeta(image)+`: the last `+tt.rest+` bytes are not part of the disk`)
		run(t, "blkdiscard", "--zeroout", "--length=1MiB", s.disks[0])
		s.ends()
	}
	holds(t, image, 1<<20, noise(4096+1000, 1))
	if fi, err := os.Stat(image); err != nil || fi.Size() != 1<<20+4096+1000 {
		t.Errorf("the image is %v, %v", fi, err)
	}
}
