package image_test

import (
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// RawFormat distinguishes a file with holes from one without.
func TestRawFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	storetest.Command(t, "truncate", "-s", "1M", path)
	for _, want := range []string{image.Sparse, image.Raw} {
		for _, readOnly := range []bool{true, false} {
			s := open(t, path, image.Options{ReadOnly: readOnly})
			if got := image.RawFormat(s); got != want {
				t.Errorf("RawFormat() = %q, want %q", got, want)
			}
			if got := image.RawFormat(backstores.FullyProvisioned(s)); got != "" {
				t.Errorf("RawFormat() of another store = %q", got)
			}
			s.Close()
		}
		storetest.Command(t, "dd", "if=/dev/urandom", "of="+path, "bs=64K", "count=16", "conv=notrunc", "status=none")
	}
}
