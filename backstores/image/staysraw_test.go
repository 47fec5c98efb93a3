package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// A guest writes the beginnings and ends of all formats to its disk, whole and
// torn into pieces, by every path, and resizes it. The next start serves the same
// bytes, as a raw image of the same size.
func TestWhatWasServedRawStaysRaw(t *testing.T) {
	for _, place := range storetest.Places {
		t.Run(place.Name, func(t *testing.T) {
			dir := place.Dir(t)
			for i := range uint64(60) {
				r := rand.New(rand.NewPCG(i, 1))
				program := make([]byte, 60)
				for i := range program {
					program[i] = byte(r.Uint32())
				}
				staysRaw(t, filepath.Join(dir, "disk.img"), program)
			}
		})
	}
}

func FuzzWhatWasServedRawStaysRaw(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte{1, 50, 0, 0, 0, 6, 20, 3, 0, 7})
	dirs := []string{storetest.MemDir(f), storetest.Mount(f, "none", "ramfs", 0, "")}
	f.Fuzz(func(t *testing.T, program []byte) {
		program = program[:min(len(program), 5*50)] // a longer one takes seconds
		for _, dir := range dirs {
			staysRaw(t, filepath.Join(dir, "disk.img"), program)
		}
	})
}

// staysRaw makes an image, executes a program on it, five bytes a step, and opens
// it again after each.
func staysRaw(t *testing.T, path string, program []byte) {
	t.Helper()
	defer os.Remove(path)
	heads, tails := samples()
	want := make([]byte, []int{64 << 10, 1 << 10, 512, 64<<10 + 100}[len(program)%4])
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	for len(program) >= 5 {
		step := program[:5]
		program = program[5:]
		s, err := Open(context.Background(), path, Options{})
		if err != nil {
			t.Fatalf("%v: %s", step, hint.Text(err))
		}
		if step[0]&0x10 != 0 {
			s = backstores.DetectZeroes(s, step[0]&0x20 != 0)
		}
		// A piece of a sample, where it has its effect or near.
		sample, at := heads[int(step[1])%len(heads)], int64(0)
		if step[0]&0x80 != 0 {
			sample, at = tails[int(step[1])%len(tails)], max(int64(len(want))-sectorBytes, 0)
		}
		if step[4] == 255 {
			at = int64(len(want)) / 2
		}
		from, to := 0, len(sample)
		if step[2]&1 != 0 {
			from = int(step[2]) * 2
		}
		if step[3]&1 != 0 {
			to = max(from, int(step[3])*2)
		}
		off := min(at+int64(from), int64(len(want)))
		piece := sample[from:to]
		piece = piece[:min(int64(len(piece)), max(int64(len(want))-off, 0))]
		n := int64(len(piece))

		after := bytes.Clone(want)
		var did error
		switch step[0] & 0xf {
		default:
			_, did = s.(io.WriterAt).WriteAt(piece, off)
			copy(after[off:], piece)
		case 1, 2, 3:
			cut := int(n) * int(step[4]) / 256
			flag := backstores.Flag(step[0]&3) & (backstores.Durable | backstores.NoWait)
			bufs := [][]byte{piece[:cut], {}, piece[cut:]}
			if did = backstores.WriteVec(s, bufs, off, flag); did == backstores.ErrWouldBlock {
				did = backstores.WriteVec(s, bufs, off, flag&^backstores.NoWait)
			}
			copy(after[off:], piece)
		case 4:
			did = backstores.Trim(s, off, n)
			clear(after[off : off+n])
		case 5:
			did = backstores.Zero(s, off, n)
			clear(after[off : off+n])
		case 6:
			size := int64(len(want)) + int64(step[3])
			did = backstores.Resize(s, size)
			after = append(after, make([]byte, step[3])...)
		}
		switch {
		case did == nil:
			want = after
		case !errors.Is(did, backstores.ErrProtected):
			t.Fatalf("%v: %v", step, did)
		}
		if err := errors.Join(backstores.Flush(s), s.Close()); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(context.Background(), path, Options{}); err != nil {
			t.Fatalf("%v: %s", step, hint.Text(err))
		}
		got := make([]byte, len(want)+1)
		k, _ := s.ReadAt(got, 0)
		if s.Size() != int64(len(want)) || !bytes.Equal(got[:k], want) || RawFormat(s) == "" {
			t.Fatalf("%v: %s of %d bytes, of which %d are read, were %d, or other bytes", step, Describe(s), s.Size(), k, len(want))
		}
		s.Close()
	}
}
