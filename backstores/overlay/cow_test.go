package overlay_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// On a full file system the write that needs space fails. Earlier writes survive.
func TestFullFileSystem(t *testing.T) {
	const size = 16 << 20
	for name, make := range map[string]func(t *testing.T, dir, base string) backstores.Backstore{
		"Snapshot": func(t *testing.T, dir, base string) backstores.Backstore {
			s, err := image.Snapshot(ctx, open(t, base, true), dir)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"Overlay": func(t *testing.T, dir, base string) backstores.Backstore {
			return openOverlay(t, filepath.Join(dir, "overlay.qcow2"), base)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := storetest.Mount(t, "none", "tmpfs", 0, "size=4m")
			base := storetest.NewImage(t, t.TempDir(), size)
			want := storetest.ReadFile(t, base)
			s := make(t, dir, base)
			full := 0
			for off := int64(0); off < size; off += 100_000 {
				p := bytes.Repeat([]byte{byte(off / 1000)}, min(100_000, int(size-off)))
				switch err := backstores.WriteVec(s, [][]byte{p}, off, 0); {
				case err == nil:
					copy(want[off:], p)
				case errors.Is(err, unix.ENOSPC):
					// Blocks that were present may have been overwritten.
					n, err := s.ReadAt(want[off:off+int64(len(p))], off)
					if n != len(p) {
						t.Fatal(err)
					}
					full++
				default:
					t.Fatal(err)
				}
			}
			if full == 0 {
				t.Error("16 MiB fit in 4 MiB")
			}
			storetest.Holds(t, s, want)
			if err := backstores.Flush(s); err != nil {
				t.Fatal(err)
			}
			if name == "Overlay" {
				s.Close()
				s = make(t, dir, base)
				storetest.Holds(t, s, want)
			}
			if err := backstores.Trim(s, 0, size); err != nil {
				t.Fatal(err)
			}
			if err := backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{9}, 1<<20)}, 5<<20, 0); err != nil {
				t.Errorf("after space was given back: %v", err)
			}
			s.Close()
		})
	}
}
