package image

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// A simgChunkSpec is a chunk as img2simg writes it.
type simgChunkSpec struct {
	kind   uint16
	blocks uint32
	body   []byte
}

const simgBlock = 4096

func encodeSimg(blocks uint32, chunks ...simgChunkSpec) []byte {
	b := binary.LittleEndian
	p := b.AppendUint32(nil, simgMagic)
	p = b.AppendUint16(b.AppendUint16(p, 1), 0)
	p = b.AppendUint16(b.AppendUint16(p, simgHeaderBytes), simgChunkBytes)
	p = b.AppendUint32(b.AppendUint32(p, simgBlock), blocks)
	p = b.AppendUint32(b.AppendUint32(p, uint32(len(chunks))), 0)
	for _, c := range chunks {
		p = b.AppendUint16(b.AppendUint16(p, c.kind), 0)
		p = b.AppendUint32(b.AppendUint32(p, c.blocks), uint32(simgChunkBytes+len(c.body)))
		p = append(p, c.body...)
	}
	return p
}

// memory is a read-only file.
type memory struct{ *bytes.Reader }

func (m memory) Close() error { return nil }

func newSimg(p []byte) (backstores.Backstore, error) {
	return openSimg("disk.simg", memory{bytes.NewReader(p)})
}

func TestSimg(t *testing.T) {
	data := bytes.Repeat([]byte("sparse"), 5*simgBlock/6+1)[:5*simgBlock]
	p := encodeSimg(40,
		simgChunkSpec{simgRaw, 5, data},
		simgChunkSpec{simgDontCare, 10, nil},
		simgChunkSpec{simgFill, 15, []byte{1, 2, 3, 4}},
		simgChunkSpec{simgCRC32, 0, []byte{9, 9, 9, 9}}, // not compared by reads
		simgChunkSpec{simgFill, 5, make([]byte, 4)},
		simgChunkSpec{simgRaw, 5, data},
	)
	want := bytes.Join([][]byte{data, make([]byte, 10*simgBlock), bytes.Repeat([]byte{1, 2, 3, 4}, 15*simgBlock/4), make([]byte, 5*simgBlock), data}, nil)
	if !isSimg(p) || isSimg(want) {
		t.Error("isSimg is wrong")
	}
	s, err := newSimg(p)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()+1)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v, or something else", len(got), err)
	}
	// Words repeat correctly at any offset.
	for off := int64(0); off < s.Size()-5000; off += 4095 {
		a, b := make([]byte, 3), make([]byte, 4997)
		if err := backstores.ReadVec(s, [][]byte{a, b}, off, 0); err != nil || !bytes.Equal(append(a, b...), want[off:off+5000]) {
			t.Fatalf("5000 bytes at %d: %v, or something else", off, err)
		}
	}
	for off, want := range map[int64]bool{0: true, 5 * simgBlock: false, 20 * simgBlock: true, 30 * simgBlock: false, 40*simgBlock - 1: true} {
		if n, data, err := backstores.Extent(s, off); n <= 0 || data != want || err != nil {
			t.Errorf("backstores.Extent(%d) = %d, %v, %v", off, n, data, err)
		}
	}
}

func TestSimgIsDescribed(t *testing.T) {
	p := encodeSimg(1, simgChunkSpec{simgDontCare, 1, nil})
	s, err := newSimg(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := Describe(s); got != Simg {
		t.Errorf("Describe() = %q", got)
	}
	if got, want := s.(Describer).Info(), (Info{Format: Simg, Size: 4096, Stored: int64(len(p)), Random: true}); got != want {
		t.Errorf("Info() = %+v, want %+v", got, want)
	}
}

func TestDamagedSimgIsRefused(t *testing.T) {
	data := make([]byte, simgBlock)
	good := encodeSimg(2, simgChunkSpec{simgRaw, 1, data}, simgChunkSpec{simgDontCare, 1, nil})
	set := func(at int, v uint32) []byte {
		p := bytes.Clone(good)
		binary.LittleEndian.PutUint32(p[at:], v)
		return p
	}
	for want, p := range map[string][]byte{
		"header: unexpected EOF":                                                     good[:20],
		"version 2 is not supported":                                                 set(4, 2),
		"headers of 28 and 8 bytes are too short":                                    set(8, 28|8<<16),
		"its blocks have 6 bytes":                                                    set(12, 6),
		"has no blocks":                                                              set(16, 0),
		"4294967295 chunks are more than 1048576":                                    set(20, 1<<32-1),
		"chunk 2 of 3: unexpected EOF":                                               set(20, 3),
		"its chunks have 8192 bytes, not 12288":                                      set(16, 3),
		"chunk 0 of 2 has the unknown type 0xcac0":                                   set(28, 0xcac0),
		"chunk 0 of 2 does not fit: 8192 bytes of the disk, 4096 in the file":        set(32, 2),
		"chunk 1 of 2 does not fit: 17592186040320 bytes of the disk, 0 in the file": set(len(good)-8, 1<<32-1),
		"chunk 0 of 2 does not fit: 4096 bytes of the disk, -12 in the file":         set(36, 0),
		"chunk 0 of 2 does not fit: 4096 bytes of the disk, 4294967283 in the file":  set(36, 1<<32-1),
	} {
		_, err := newSimg(p)
		if err == nil || !strings.HasPrefix(err.Error(), "disk.simg: Android sparse image: "+want+"; unpack it with ") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A file that img2simg has made reads as the original.
func TestSimgAgainstItsOwnTools(t *testing.T) {
	if _, err := exec.LookPath("img2simg"); err != nil {
		storetest.Missing(t, "android-sdk-libsparse-utils", err)
	}
	raw := bytes.Join([][]byte{bytes.Repeat([]byte("ab"), 10_000*4), make([]byte, 1<<20), bytes.Repeat([]byte{5}, 1<<20)}, nil)
	raw = append(raw, make([]byte, -len(raw)&4095)...)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("img2simg", in, out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	p, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSimg(p)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size())); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%d bytes, want %d, or they differ: %v", len(got), len(raw), err)
	}
}

func FuzzSimg(f *testing.F) {
	f.Add(encodeSimg(3, simgChunkSpec{simgRaw, 1, make([]byte, simgBlock)}, simgChunkSpec{simgDontCare, 1, nil}, simgChunkSpec{simgFill, 1, []byte{1, 2, 3, 4}}))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := newSimg(p)
		if err != nil {
			return
		}
		q := make([]byte, 10_000)
		for _, off := range []int64{0, s.Size() / 2, max(0, s.Size()-5000)} {
			if n, err := s.ReadAt(q, off); err != nil && err != io.EOF || n == 0 {
				t.Errorf("ReadAt(%d) = %d, %v in a disk of %d bytes", off, n, err, s.Size())
			}
			if n, _, err := backstores.Extent(s, off); n <= 0 || n > s.Size()-off || err != nil {
				t.Errorf("backstores.Extent(%d) = %d, %v", off, n, err)
			}
		}
	})
}
