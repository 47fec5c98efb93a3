package seekable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores/storetest"
)

var ctx = context.Background()

func packed(t testing.TB, img []byte, frame int64) ([]byte, Packed) {
	t.Helper()
	var out bytes.Buffer
	p, err := Pack(ctx, &out, bytes.NewReader(img), int64(len(img)), PackOptions{Level: zstd.SpeedDefault, FrameSize: frame})
	if err != nil {
		t.Fatal(err)
	}
	if p.Written != int64(out.Len()) {
		t.Errorf("Pack says %d bytes, and wrote %d", p.Written, out.Len())
	}
	return out.Bytes(), p
}

func reader(t testing.TB, file []byte, memory int64) *Reader {
	t.Helper()
	s, err := Scan(ctx, bytes.NewReader(file), int64(len(file)), memory/4, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Sized {
		if err := s.Decode(ctx, bytes.NewReader(file), memory/4, nil); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewReader(bytes.NewReader(file), s.Index, Config{Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestReadWhatWasPacked reads the output of Pack at several offsets side by side,
// with a cache that is too small.
func TestReadWhatWasPacked(t *testing.T) {
	for _, frame := range []int64{4 << 10, 64 << 10, 1 << 20} {
		img := storetest.Contents(5<<20 + 1234)
		file, p := packed(t, img, frame)
		if p.Zeros == 0 && frame < 1<<20 {
			t.Error("no frame of zeros")
		}
		r := reader(t, file, max(4*frame+1<<20, 2<<20))
		if r.Size() != int64(len(img)) {
			t.Fatalf("Size() = %d, want %d", r.Size(), len(img))
		}
		var wg sync.WaitGroup
		for g := range uint64(6) {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(g, 1))
				p := make([]byte, 300<<10)
				at := 0
				for range 100 {
					n := 1 + rnd.IntN(len(p)-1)
					off := at
					if g%2 == 0 {
						off = rnd.IntN(len(img))
					}
					n = min(n, len(img)-off)
					if k, err := r.ReadAt(p[:n], int64(off)); k != n || err != nil || !bytes.Equal(p[:n], img[off:off+n]) {
						t.Errorf("ReadAt(%d bytes, %d) = %d, %v, or differs", n, off, k, err)
						return
					}
					if at += n; at >= len(img) {
						at = 0
					}
				}
			})
		}
		wg.Wait()
	}
}

// Incompressible data is a little larger packed. It still has random access.
func TestIncompressibleFramesHaveRandomAccess(t *testing.T) {
	const frame = 1 << 20
	img := make([]byte, 3*frame)
	r := rand.New(rand.NewPCG(6, 6))
	for i := range img {
		img[i] = byte(r.Uint32())
	}
	file, p := packed(t, img, frame)
	if p.Written <= int64(len(img)) {
		t.Fatalf("packed to %d bytes", p.Written)
	}
	table := tableHeader + int(p.Frames)*12 + tableFooter
	for name, file := range map[string][]byte{"table": file, "headers": file[:len(file)-table]} {
		got := make([]byte, len(img))
		if _, err := reader(t, file, 4*frame).ReadAt(got, 0); err != nil || !bytes.Equal(got, img) {
			t.Errorf("by its %s: %v, or it differs", name, err)
		}
	}
}

// Pack refuses to make more frames than a Reader supports, before it reads.
func TestPackRefusesTooManyFrames(t *testing.T) {
	for _, tt := range []struct {
		size, frame int64
		want        string
	}{
		{64 << 30, 4 << 10, "read"},
		{64<<30 + 1, 4 << 10, "frames of 4096 bytes: 68719476737 bytes would be more than 16777216 of them: at least 8 KiB"},
		{10 << 40, 128 << 10, "frames of 131072 bytes: 10995116277760 bytes would be more than 16777216 of them: at least 640 KiB"},
		{10 << 40, 640 << 10, "read"},
	} {
		_, err := Pack(ctx, io.Discard, unreadable{}, tt.size, PackOptions{Level: zstd.SpeedFastest, FrameSize: tt.frame})
		if many, ok := errors.AsType[*FrameCountError](err); ok {
			err = fmt.Errorf("%w: at least %d KiB", err, many.Least>>10)
		}
		if err == nil || err.Error() != tt.want && !strings.HasPrefix(err.Error(), tt.want+" ") {
			t.Errorf("%d bytes in frames of %d: %v, want %q", tt.size, tt.frame, err, tt.want)
		}
	}
}

type unreadable struct{}

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, io.ErrUnexpectedEOF }

// Whatever changes in the headers and checksums of frames whose size is unknown
// changes the digest of a scan, or fails it.
func TestDigestTellsFramesOfUnknownSizeApart(t *testing.T) {
	file := unsizedFrames(t, noise(5000), 2500)
	digest := func(p []byte) (d [32]byte) {
		if s, err := Scan(ctx, bytes.NewReader(p), int64(len(p)), fuzzLimit, nil); err == nil {
			d = s.Digest
		}
		return d
	}
	was := digest(file)
	w := newWalker(bytes.NewReader(file), int64(len(file)))
	for {
		f, err := w.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.skip {
			continue
		}
		for _, at := range []int64{f.off + 5, f.off + 6, f.off + 7, f.off + f.csize - 1} { // window, first block, checksum
			bad := bytes.Clone(file)
			bad[at] ^= 8
			if digest(bad) == was {
				t.Errorf("byte %d of the frame at %d does not count", at-f.off, f.off)
			}
		}
	}
}
