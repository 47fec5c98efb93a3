package image_test

import (
	"context"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/qcow2"
	"github.com/lunserve/lunserve/backstores/storetest"
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
	if l, err := image.ReadLayout(ctx, s, 60); l != nil || err != nil {
		t.Errorf("%+v, %v", l, err)
	}
	if c, err := image.CheckOpen(ctx, "disk", image.Options{}); err != nil || c.Temporary != i.Size {
		t.Errorf("%+v, %v", c, err)
	}
}

// The parts add up to the disk, and each has its own data.
func TestLayoutTellsWhereTheDataIs(t *testing.T) {
	for _, size := range []int64{1, 59, 60, 61, 1<<20 + 7, 64 << 20} {
		s, err := image.Scratch(t.Context(), size, storetest.MemDir(t))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, off := range []int64{0, size / 2, size - 1} {
			if _, err := s.(io.WriterAt).WriteAt([]byte{1}, off); err != nil {
				t.Fatal(err)
			}
		}
		l, err := image.ReadLayout(t.Context(), s, 60)
		if err != nil || l == nil {
			t.Fatal(l, err)
		}
		data := int64(0)
		for i, n := range l.Data {
			if width := l.Part(i+1, size) - l.Part(i, size); n > width || width > size/60+1 {
				t.Errorf("%d bytes: part %d has %d bytes of data in %d", size, i, n, width)
			}
			data += n
		}
		if l.Part(60, size) != size || data+l.Holes != size {
			t.Errorf("%d bytes: %d of data and %d of holes up to %d", size, data, l.Holes, l.Part(60, size))
		}
		if size == 64<<20 && (l.Data[0] == 0 || l.Data[30] == 0 || l.Data[59] == 0 || l.Data[20] != 0) {
			t.Errorf("the data is in %v", l.Data)
		}
	}
}
