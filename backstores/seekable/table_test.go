package seekable

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// An entry is one of a seek table, without a checksum.
type entry [2]uint32

// withTable appends a seek table to frames.
func withTable(frames []byte, entries ...entry) []byte {
	b := binary.LittleEndian.AppendUint32(bytes.Clone(frames), tableFrame)
	b = binary.LittleEndian.AppendUint32(b, uint32(8*len(entries)+tableFooter))
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint32(b, e[0])
		b = binary.LittleEndian.AppendUint32(b, e[1])
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)))
	return binary.LittleEndian.AppendUint32(append(b, 0), tableMagic)
}

// A lie is a file with a table that does not tell the truth, or only seems not to.
type lie struct {
	name string
	file []byte
	used bool // whether the table is believed
}

// lies returns files of a few frames. All but the believed ones read as zstd -d
// decodes them.
func lies(tb testing.TB) []lie {
	enc, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<20))
	if err != nil {
		tb.Fatal(err)
	}
	defer enc.Close()
	const n = 4096
	img := noise(4*n + 100)
	var f [5][]byte
	var e [5]entry
	for i := range f {
		p := img[i*n : min((i+1)*n, len(img))]
		f[i] = enc.EncodeAll(p, nil)
		e[i] = entry{uint32(len(f[i])), uint32(len(p))}
	}
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	all := join(f[:]...)
	// The sizes of neighbours, exchanged and moved.
	sized := func(i int, d uint32) []entry {
		c := e
		c[i][1] += d
		return c[:]
	}
	skip, empty := []byte("\x5f\x2a\x4d\x18\x00\x00\x00\x00"), []byte("\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51")
	badEmpty := bytes.Clone(empty)
	badEmpty[9] ^= 1
	decode64 := func(s string) []byte {
		p, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			tb.Fatal(err)
		}
		return p
	}
	return []lie{
		{"the truth", withTable(all, e[:]...), true},
		{"a frame of no size", decode64("KLUv/QRYTQAAEEFBAQD79wEWw1grbSi1L/0EWE0AABBCQgEA+/cBFnDoWEAotS/9BFhNAAAQQ0MBAPv3ARYNq7fVXipNGCEAAAAWAAAAABAAABYAAAAAAAAAFgAAAAAQAAADAAAAALHqko8="), false},
		{"a skippable frame of 8 bytes", decode64("KLUv/QRYTQAAEEFBAQD79wEWw1grbVAqTRgAAAAAKLUv/QRYTQAAEEJCAQD79wEWcOhYQF4qTRghAAAAFgAAAAAQAAAIAAAAAAAAABYAAAAAEAAAAwAAAACx6pKP"), true},
		{"an entry of nothing", withTable(all, e[0], e[1], entry{}, e[2], e[3], e[4], entry{}), true},
		{"an entry of no bytes that decode", withTable(all, e[0], e[1], entry{0, n}, e[2], e[3], e[4]), false},
		{"an empty frame", withTable(join(f[0], empty, f[1]), e[0], entry{13, 0}, e[1]), true},
		{"an empty frame at the end", withTable(join(f[0], f[1], empty), e[0], e[1], entry{13, 0}), true},
		{"an empty frame of a wrong checksum", withTable(join(f[0], badEmpty, f[1]), e[0], entry{13, 0}, e[1]), false},
		{"two skippable frames in an entry", withTable(join(f[0], skip, skip, f[1]), e[0], entry{16, 0}, e[1]), false},
		{"a skippable frame with contents", withTable(join(f[0], skip, f[1]), e[0], entry{8, n}, e[1]), false},
		{"a skippable frame that is not listed", withTable(join(f[0], skip, f[1]), e[0], e[1]), false},
		{"a frame that is not listed", withTable(all, e[:4]...), false},
		{"first frames that are not listed", withTable(all, e[1:]...), false},
		{"a frame that is listed twice", withTable(all, e[0], e[0], e[1], e[2], e[3], e[4]), false},
		{"the first of more", withTable(all, sized(0, 1)...), false},
		{"one in the middle of less", withTable(all, sized(2, 1<<32-1)...), false},
		{"one in the middle of nothing", withTable(all, sized(2, 1<<32-n)...), false},
		{"the last as large as the others", withTable(all, sized(4, n-100)...), false},
		{"in another order", withTable(all, e[4], e[1], e[2], e[3], e[0]), false},
		{"two frames in the last entry", withTable(all, e[0], e[1], e[2], entry{e[3][0] + e[4][0], n + 100}), false},
		{"two frames in the last entry, one of them hidden", withTable(all, e[0], e[1], e[2], entry{e[3][0] + e[4][0], n}), false},
		{"frames in a skippable frame", withTable(join([]byte("\x50\x2a\x4d\x18\xff\x00\x00\x00"), all), append([]entry{{8, 0}}, e[:]...)...), false},
		{"sizes of a table of another file", withTable(all, e[1], e[0], e[3], e[2], e[4]), e[0][0] == e[1][0]},
	}
}

// A table that may hide something is not used. Then the file reads as one without
// a table.
func TestTableIsBelievedIfItHidesNothing(t *testing.T) {
	for _, l := range lies(t) {
		t.Run(l.name, func(t *testing.T) {
			want, wantErr := decode(t, l.file)
			r := bytes.NewReader(l.file)
			s, err := Scan(ctx, r, r.Size(), fuzzLimit, nil)
			if wantErr != nil {
				if err == nil {
					t.Errorf("found %d frames; the decoder says %v", s.Frames(), wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (s.Source == FromTable) != l.used {
				t.Errorf("index from %s", s.Source)
			}
			z := reader(t, l.file, 4*fuzzLimit)
			got := make([]byte, z.Size())
			if _, err := z.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, want %d, or they differ (%v)", len(got), len(want), err)
			}
		})
	}
}

// An entry that hides a frame behind its neighbour's size is found when it is
// read.
func TestEntryMustBeOneFrame(t *testing.T) {
	enc, _ := zstd.NewWriter(nil)
	defer enc.Close()
	img := noise(7 * 4096)
	part := func(from, to int) []byte { return enc.EncodeAll(img[from*4096:to*4096], nil) }
	size := func(p []byte) uint32 { return uint32(len(p)) }
	for name, second := range map[string][]byte{
		"a frame of more":                   part(1, 3),
		"two frames":                        append(part(1, 2), part(2, 3)...),
		"two halves":                        append(enc.EncodeAll(img[4096:5000], nil), enc.EncodeAll(img[5000:2*4096], nil)...),
		"a frame and a skippable one":       append(part(1, 2), "\x50\x2a\x4d\x18\x01\x00\x00\x00x"...),
		"a frame and the start of another":  append(part(1, 2), "\x28\xb5\x2f"...),
		"a skippable frame before":          append([]byte("\x50\x2a\x4d\x18\x01\x00\x00\x00x"), part(1, 2)...),
		"a skippable frame of all contents": append([]byte("\x50\x2a\x4d\x18\xff\x00\x00\x00"), make([]byte, 255)...),
	} {
		t.Run(name, func(t *testing.T) {
			a, c, d := part(0, 1), part(3, 4), part(4, 5)
			file := withTable(bytes.Join([][]byte{a, second, c, d}, nil), entry{size(a), 4096}, entry{size(second), 4096}, entry{size(c), 4096}, entry{size(d), 4096})
			r := reader(t, file, 4*fuzzLimit)
			if r.index.Source != FromTable {
				t.Fatalf("index from %s", r.index.Source)
			}
			p := make([]byte, 4096)
			if n, err := r.ReadAt(p, 4096); err == nil {
				t.Errorf("read %d bytes", n)
			}
			if _, err := r.ReadAt(make([]byte, r.Size()), 0); err == nil {
				t.Error("read everything")
			}
			if _, err := r.ReadAt(p, 0); err != nil || !bytes.Equal(p, img[:4096]) {
				t.Errorf("the frame before: other bytes, or %v", err)
			}
		})
	}
}

// A table of many sizes is checked even if the headers lack them, up to an amount of
// work. What takes more is said, and not believed.
func TestCheckOfATableIsBoundedByBytes(t *testing.T) {
	frame := func(n int) []byte {
		f := unsizedFrames(t, bytes.Repeat([]byte("compress "), n)[:n], n)
		return f[:len(f)-10] // without the skippable frame
	}
	small, large := frame(100), frame(8192)
	other := frame(101)
	for _, tt := range []struct {
		name      string
		a, b      []byte
		n, m      uint32 // their decoded sizes
		pairs     int
		unchecked bool
	}{
		{"many frames", small, large, 100, 8192, 200, false},
		{"too many small frames", small, other, 100, 101, 9000, true},
		{"too many bytes", small, large, 100, 8192, 5000, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var file []byte
			var entries []entry
			for range tt.pairs {
				file = append(append(file, tt.a...), tt.b...)
				entries = append(entries, entry{uint32(len(tt.a)), tt.n}, entry{uint32(len(tt.b)), tt.m})
			}
			file = withTable(file, entries...)
			s, err := Scan(ctx, bytes.NewReader(file), int64(len(file)), fuzzLimit, nil)
			if err != nil {
				t.Fatal(err)
			}
			if believed := s.Source == FromTable; believed == tt.unchecked || s.Unchecked != tt.unchecked {
				t.Errorf("index from %s, unchecked %t", s.Source, s.Unchecked)
			}
		})
	}
}

// A table whose frames are as large as a reader allows is checked.
func TestTableOfLargeFramesIsChecked(t *testing.T) {
	const limit = maxMeasured
	enc, _ := zstd.NewWriter(nil, zstd.WithSingleSegment(false))
	defer enc.Close()
	unsized := func(n int) []byte {
		var out bytes.Buffer
		enc.Reset(&out)
		for p := make([]byte, 1<<20); n > 0; n -= len(p) {
			p = p[:min(n, len(p))]
			enc.Write(append(p[:len(p)-1:len(p)-1], 'x'))
		}
		enc.Close()
		return out.Bytes()
	}
	first, last := unsized(limit), unsized(limit-1)
	file := withTable(append(bytes.Clone(first), last...), entry{uint32(len(first)), limit}, entry{uint32(len(last)), limit - 1})
	s, err := Scan(ctx, bytes.NewReader(file), int64(len(file)), limit, nil)
	if err != nil || s.Source != FromTable {
		t.Errorf("index from %v (%v)", s, err)
	}
}

// No bit of a table that is changed changes what is read, of one frame or of all.
func TestFlippedBitOfATableChangesNothing(t *testing.T) {
	enc, _ := zstd.NewWriter(nil, zstd.WithEncoderCRC(false))
	defer enc.Close()
	img := append(noise(3*MinFrame), make([]byte, MinFrame)...)
	own, _ := packed(t, append(img, noise(100)...), MinFrame)
	var unsized, plain []byte
	var list []entry
	for i := 0; i < len(img); i += MinFrame {
		f := unsizedFrames(t, img[i:i+MinFrame], MinFrame)
		f = f[:len(f)-10] // without the skippable frame
		unsized = append(unsized, f...)
		list = append(list, entry{uint32(len(f)), MinFrame})
	}
	var sizes []entry
	for _, n := range []int{1000, 3000, 2000, 2000} {
		f := enc.EncodeAll(img[:n], nil)
		plain = append(plain, f...)
		sizes = append(sizes, entry{uint32(len(f)), uint32(n)})
	}
	for name, file := range map[string][]byte{
		"of Pack":                 own,
		"of frames without sizes": withTable(unsized, list...),
		"of many sizes":           withTable(plain, sizes...),
	} {
		want, err := decode(t, file)
		if err != nil {
			t.Fatal(err)
		}
		start := bytes.LastIndex(file, []byte("\x5e\x2a\x4d\x18"))
		read, refused := 0, 0
		for bit := 8 * start; bit < 8*len(file); bit++ {
			bad := bytes.Clone(file)
			bad[bit/8] ^= 1 << (bit % 8)
			if err := readsAs(bad, want); err == errRefused {
				refused++
			} else if err != nil {
				t.Errorf("%s, bit %d at %d of %d: %v", name, bit%8, bit/8, len(file), err)
			} else {
				read++
			}
		}
		if read == 0 {
			t.Errorf("%s: all of %d refused", name, refused)
		}
	}
}

var errRefused = fmt.Errorf("refused")

// readsAs returns errRefused if file cannot be opened, or all of it not be read,
// and an error if any frame reads otherwise than want.
func readsAs(file, want []byte) error {
	r := bytes.NewReader(file)
	s, err := Scan(ctx, r, r.Size(), fuzzLimit, nil)
	if err == nil && !s.Sized {
		err = s.Decode(ctx, r, fuzzLimit, nil)
	}
	if err != nil {
		return errRefused
	}
	z, err := NewReader(r, s.Index, Config{Memory: 4 * fuzzLimit})
	if err != nil {
		return errRefused
	}
	defer z.Close()
	if z.Size() != int64(len(want)) {
		return fmt.Errorf("%d bytes, want %d", z.Size(), len(want))
	}
	var bad error
	for i := s.frames.n - 1; i >= 0; i-- {
		at, end := s.frames.at(i).start, s.end(i)
		p := make([]byte, end-at)
		if _, err := z.ReadAt(p, at); err != nil {
			bad = errRefused
		} else if !bytes.Equal(p, want[at:end]) {
			return fmt.Errorf("frame %d differs", i)
		}
	}
	return bad
}
