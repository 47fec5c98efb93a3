package image_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/qcow2"
)

// A file of 36 MiB can say that it has 10^12 clusters. It is described and checked,
// without numbers that would take hours.
func TestQcow2WithManyClustersIsDescribed(t *testing.T) {
	t.Chdir(t.TempDir())
	const cluster, tables = 2 << 20, 4 << 20
	b := binary.BigEndian
	h := qcow2.Header{ClusterBits: 21, Size: tables << 39, L1Size: tables, L1At: cluster, RefcountOrder: 4}
	file := append(h.Bytes(), make([]byte, 18*cluster)...)[:18*cluster]
	for i := range tables {
		b.PutUint64(file[cluster+i*8:], 17*cluster) // the same for all
	}
	b.PutUint64(file[17*cluster+8000:], 1<<62|cluster) // compressed
	write(t, "disk", file)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	i, s, err := image.Inspect(ctx, "disk", image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if i.Size != tables<<39 || i.Compressed != 0 {
		t.Errorf("%+v", i.Info)
	}
	if n, known, err := image.Holes(ctx, s); n != 0 || known || err != nil {
		t.Errorf("%d bytes of holes, known %v, %v", n, known, err)
	}
	if c, err := image.CheckOpen(ctx, "disk", image.Options{}); err != nil || c.Temporary != i.Size {
		t.Errorf("%+v, %v", c, err)
	}
}
