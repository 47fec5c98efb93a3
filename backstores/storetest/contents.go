package storetest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// OddSize is the size of a disk that is no multiple of any block.
const OddSize = 3<<19 + 777

// Fill fills p with noise. Under the race detector each byte that Go makes is expensive,
// and AES is written in assembly.
func Fill(r *rand.Rand, p []byte) {
	key := binary.NativeEndian.AppendUint64(make([]byte, 8, 16), r.Uint64())
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	clear(p)
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(p, p)
}

// text is made once, since the race detector watches a copy as a whole.
var text = sync.OnceValue(func() []byte {
	r := rand.New(rand.NewPCG(1, 1))
	p := make([]byte, 1<<20)
	for i := range p {
		p[i] = "a disk of many words "[(i+i/1000*r.IntN(2))%21] + byte(r.IntN(100)/99)
	}
	return p
})

// Contents returns n bytes like those of a disk: text, noise and zeros, in pieces of
// all sizes up to 256 KiB and an eighth of the disk. They are the same each time.
func Contents(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	disk, text := make([]byte, n), text()
	for at := 0; at < n; {
		p := disk[at:min(at+1+r.IntN(min(1<<(9+r.IntN(10)), n/8)), n)]
		at += len(p)
		switch r.IntN(3) {
		case 0:
			Fill(r, p)
		case 1:
			copy(p, text[r.IntN(len(text)-len(p)):])
		}
	}
	return disk
}

// NewImage makes an image with data, zeros and holes in dir.
func NewImage(t testing.TB, dir string, size int64) string {
	t.Helper()
	path := filepath.Join(dir, "base.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(20, 20))
	p := make([]byte, 100_000)
	for off := int64(0); off < size-int64(len(p)); off += max(250_000, size/64) {
		Fill(r, p)
		if _, err := f.WriteAt(p, off); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// ReadFile returns the contents of a file.
func ReadFile(t testing.TB, path string) []byte {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Change makes random changes to a store and to want, its contents.
func Change(t testing.TB, s backstores.Backstore, want []byte, r *rand.Rand, times int) {
	t.Helper()
	size := s.Size()
	for range times {
		n := r.Int64N(50_000)
		off := r.Int64N(size - n)
		if r.IntN(2) == 0 {
			off, n = off&^4095, n&^4095
		}
		var err error
		switch r.IntN(6) {
		case 0:
			clear(want[off : off+n])
			err = backstores.Trim(s, off, n)
		case 1:
			clear(want[off : off+n])
			err = backstores.Zero(s, off, n)
		default:
			p := want[off : off+n]
			Fill(r, p)
			err = backstores.WriteVec(s, [][]byte{p}, off, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Holds checks the contents of a store.
func Holds(t testing.TB, s backstores.Backstore, want []byte) {
	t.Helper()
	got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()+1))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("byte %d of %d differs (of %d read)", i, len(want), len(got))
			}
		}
		t.Fatalf("read %d bytes, want %d", len(got), len(want))
	}
}

// Same checks that two stores have the same contents. It reads where one of them
// has data.
func Same(t testing.TB, a, b backstores.Backstore) {
	t.Helper()
	if a.Size() != b.Size() {
		t.Errorf("sizes %d and %d", a.Size(), b.Size())
	}
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); off < a.Size(); {
		n, data, err := backstores.Extent(a, off)
		if err != nil {
			t.Fatal(err)
		}
		m, more, err := backstores.Extent(b, off)
		if err != nil {
			t.Fatal(err)
		}
		n = min(n, m)
		if data || more {
			n = min(n, int64(len(p)))
			if err := errors.Join(backstores.ReadVec(a, [][]byte{p[:n]}, off, 0), backstores.ReadVec(b, [][]byte{q[:n]}, off, 0)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p[:n], q[:n]) {
				t.Fatalf("they differ within %d bytes at %d", n, off)
			}
		}
		off += n
	}
}
