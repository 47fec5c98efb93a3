package seekable

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// fuzzLimit is the largest frame in these tests, so that a zip bomb is cheap.
const fuzzLimit = 1 << 20

func seeds(f *testing.F) {
	img := storetest.Contents(20_000)
	file, _ := packed(f, img, MinFrame)
	f.Add(file)
	f.Add(file[:len(file)-100])
	f.Add(appendZeroFrame(nil, 5000))
	f.Add(unsizedFrames(f, img[:3000], 1000))
	for _, l := range lies(f) {
		f.Add(l.file)
	}
}

// unsizedFrames packs img as frames whose headers lack the size, with skippable
// frames in between.
func unsizedFrames(tb testing.TB, img []byte, frame int) []byte {
	e, err := zstd.NewWriter(nil, zstd.WithSingleSegment(false))
	if err != nil {
		tb.Fatal(err)
	}
	var out bytes.Buffer
	for len(img) > 0 {
		p := img[:min(frame, len(img))]
		img = img[len(p):]
		e.Reset(&out)
		e.Write(p[:len(p)/2]) // as a stream
		e.Flush()
		e.Write(p[len(p)/2:])
		if err := e.Close(); err != nil {
			tb.Fatal(err)
		}
		out.WriteString("\x50\x2a\x4d\x18\x02\x00\x00\x00ab")
	}
	return out.Bytes()
}

// FuzzSeekTable checks that the frames of any table that is accepted lie in the
// file and within the limits.
func FuzzSeekTable(f *testing.F) {
	seeds(f)
	var t table
	t.add(20, 100, 7)
	t.add(30, 1<<31, 8)
	f.Add(append(make([]byte, 50), t.bytes()...))
	f.Fuzz(func(t *testing.T, file []byte) {
		x, err := readTable(ctx, bytes.NewReader(file), int64(len(file)), fuzzLimit, nil)
		if err == nil {
			checkIndex(t, x, int64(len(file)))
		}
	})
}

// FuzzFrameWalk checks that frames found by their headers are consecutive, and
// decode to the sizes in the headers.
func FuzzFrameWalk(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		w := newWalker(bytes.NewReader(file), int64(len(file)))
		for at := int64(0); ; {
			g, err := w.next()
			if err != nil {
				break
			}
			if g.off != at || g.csize <= 0 || g.csize > int64(len(file))-at {
				t.Fatalf("frame %+v, want one at %d of %d", g, at, len(file))
			}
			at += g.csize
			if g.skip || g.most > fuzzLimit {
				continue
			}
			p, err := decode(t, file[g.off:g.off+g.csize])
			if err == nil && (g.dsize >= 0 && int64(len(p)) != g.dsize || int64(len(p)) > g.most || g.zero && !backstores.IsZero(p)) {
				t.Fatalf("frame %+v decodes to %d bytes", g, len(p))
			}
		}
	})
}

// FuzzReader compares random access with decoding from end to end.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		r := bytes.NewReader(file)
		s, err := Scan(ctx, r, int64(len(file)), fuzzLimit, nil)
		if err != nil || s.All > 1000 || s.Known > 8<<20 {
			return
		}
		if !s.Sized && s.Decode(ctx, r, fuzzLimit, nil) != nil {
			return
		}
		checkIndex(t, s.Index, int64(len(file)))
		if s.Size() == 0 || s.Size() > 8<<20 {
			return
		}
		if s.Source == FromDecoding {
			key, size := [32]byte{1}, s.Size()
			again, err := Scan(ctx, r, int64(len(file)), fuzzLimit, nil)
			if err != nil || again.Load(s.Save(key), key) != nil || again.Size() != size {
				t.Fatalf("a saved index has %d bytes, not %d, or %v", again.Size(), size, err)
			}
		}
		z, err := NewReader(r, s.Index, Config{Memory: 4 * fuzzLimit})
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		got, err := io.ReadAll(io.NewSectionReader(z, 0, z.Size()))
		if err != nil {
			return
		}
		if want, err := decode(t, file); errors.Is(err, zstd.ErrWindowSizeExceeded) {
			return // the reference has less memory
		} else if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %d bytes, want %d, or they differ: %v", len(got), len(want), err)
		}
	})
}

// FuzzSavedIndex checks that an index with any saved sizes is one of the file.
func FuzzSavedIndex(f *testing.F) {
	file := unsizedFrames(f, storetest.Contents(20_000), 6000)
	scan := func() *Scanned {
		s, err := Scan(ctx, bytes.NewReader(file), int64(len(file)), fuzzLimit, nil)
		if err != nil || s.Sized {
			f.Fatal(err)
		}
		return s
	}
	s := scan()
	if err := s.Decode(ctx, bytes.NewReader(file), fuzzLimit, nil); err != nil {
		f.Fatal(err)
	}
	saved := s.Save([32]byte{})
	f.Add(saved[len(savedMagic)+32 : len(saved)-32])
	f.Fuzz(func(t *testing.T, sizes []byte) {
		s := scan()
		s.sizes = sizes
		if err := s.Load(s.Save([32]byte{}), [32]byte{}); err == nil {
			checkIndex(t, s.Index, int64(len(file)))
		} else if s.Sized {
			t.Error("an index that was refused is complete")
		}
	})
}

func checkIndex(t *testing.T, x *Index, size int64) {
	t.Helper()
	var at, total int64
	for i := range x.frames.n {
		g := *x.frames.at(i)
		if g.off < at || int64(g.csize) > size-g.off || g.start != total || x.dsize(i) <= 0 || x.dsize(i) > fuzzLimit {
			t.Fatalf("frame %d %+v of %d bytes, in %d", i, g, x.dsize(i), size)
		}
		at, total = g.off+int64(g.csize), total+x.dsize(i)
	}
	if total != x.Size() || x.MaxFrame() > fuzzLimit {
		t.Fatalf("size %d, want %d", x.Size(), total)
	}
}

// decode decodes all of p with the library alone, as a reference.
func decode(t *testing.T, p []byte) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderMaxWindow(1<<41))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return d.DecodeAll(p, nil)
}

// FuzzTableRoundTrip checks that a table that was written is read.
func FuzzTableRoundTrip(f *testing.F) {
	f.Add(uint32(7), uint32(9))
	f.Fuzz(func(t *testing.T, dsize, sum uint32) {
		dsize = dsize%fuzzLimit + 1
		file := appendZeroFrame(nil, int64(dsize))
		var tab table
		tab.add(uint32(len(file)), dsize, sum)
		file = append(file, tab.bytes()...)
		x, err := readTable(ctx, bytes.NewReader(file), int64(len(file)), fuzzLimit, nil)
		if err != nil || x.Frames() != 1 || x.Size() != int64(dsize) || x.frames.at(0).sum != sum || !x.isZero(0) {
			t.Errorf("%d: %+v, %v", dsize, x, err)
		}
	})
}
