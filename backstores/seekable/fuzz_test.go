package seekable

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
)

// fuzzLimit is the largest frame in these tests, so that a zip bomb is cheap.
const fuzzLimit = 1 << 20

func seeds(f *testing.F) {
	img := image(20_000)
	file, _ := packed(f, img, MinFrame)
	f.Add(file)
	f.Add(file[:len(file)-100])
	f.Add(appendZeroFrame(nil, 5000))
	e, err := zstd.NewWriter(nil, zstd.WithSingleSegment(false))
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	for i := range 3 {
		e.Reset(&out)
		e.Write(img[i*1000:][:1000]) // as a stream: the header has no size
		e.Flush()
		e.Write(img[:100])
		if err := e.Close(); err != nil {
			f.Fatal(err)
		}
		out.WriteString("\x50\x2a\x4d\x18\x02\x00\x00\x00ab")
	}
	f.Add(out.Bytes())
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
		x, err := readTable(bytes.NewReader(file), int64(len(file)), fuzzLimit)
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
		w := walker{r: bytes.NewReader(file), size: int64(len(file))}
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
		key := [32]byte{1}
		if x, err := Load(s.Save(key), key, int64(len(file)), fuzzLimit); err != nil || x.Size() != s.Size() {
			t.Fatalf("a saved index: %v", err)
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
		// A table may omit empty frames and frames that cannot be decoded. If
		// both succeed they agree.
		if want, err := decode(t, file); err == nil && !bytes.Equal(got, want) {
			t.Fatalf("read %d bytes, want %d, or they differ", len(got), len(want))
		}
	})
}

// FuzzSavedIndex checks that the frames of a saved index lie in the file.
func FuzzSavedIndex(f *testing.F) {
	file, _ := packed(f, image(20_000), MinFrame)
	s, err := Scan(ctx, bytes.NewReader(file), int64(len(file)), fuzzLimit, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Save([32]byte{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := Load(b, [32]byte{}, 400_000, fuzzLimit); err == nil {
			checkIndex(t, x, 400_000)
		}
	})
}

func checkIndex(t *testing.T, x *Index, size int64) {
	t.Helper()
	var at, total int64
	for i, g := range x.frames {
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

func FuzzTableRoundTrip(f *testing.F) {
	f.Add(uint32(20), uint32(7), uint32(9))
	f.Fuzz(func(t *testing.T, csize, dsize, sum uint32) {
		csize, dsize = csize%1000+smallest, dsize%fuzzLimit+1
		var tab table
		tab.add(csize, dsize, sum)
		b := tab.bytes()
		file := append(make([]byte, csize), b...)
		x, err := readTable(bytes.NewReader(file), int64(len(file)), fuzzLimit)
		if err != nil || x.Frames() != 1 || x.Size() != int64(dsize) || x.frames[0].sum != sum ||
			binary.LittleEndian.Uint32(b[len(b)-4:]) != tableMagic {
			t.Errorf("%d, %d: %+v, %v", csize, dsize, x, err)
		}
	})
}
