package qcow2_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/qcow2"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// memory is a file in memory: bytes at an offset.
type memory struct{ *bytes.Reader }

func (m memory) Size() int64 { return m.Reader.Size() }
func (memory) Close() error  { return nil }

const fuzzSize = 1 << 20 // of the disks

// fuzzed are small images of all kinds, made by QEMU.
func fuzzed(t testing.TB) (files [][]byte) {
	t.Helper()
	dir := storetest.MemDir(t)
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, storetest.Contents(fuzzSize), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"qemu-img convert -O qcow2 -c $in $out",
		"qemu-img convert -O qcow2 -c -o compression_type=zstd,cluster_size=16k,extended_l2=on $in $out && qemu-io -f qcow2 -c 'write -q -P 7 100k 2k' -c 'write -q -z 200k 2k' $out",
		"qemu-img convert -O qcow2 -o cluster_size=512 $in $out",
		"qemu-img convert -O qcow2 -c -o compat=0.10,cluster_size=4k $in $out && qemu-io -f qcow2 -c 'write -q -P 7 100k 20k' -c 'discard -q 300k 20k' $out",
		"qemu-img convert -O qcow2 -c -o compression_type=zstd,cluster_size=4k $in $out && qemu-io -f qcow2 -c 'write -q -P 7 100k 20k' -c 'write -q -z 300k 20k' $out",
	} {
		storetest.Command(t, "sh", "-euc", "in="+in+" out="+out+"\n"+command)
		files = append(files, storetest.ReadFile(t, out))
	}
	return files
}

// damage returns the file with changes: each a part of it (its header, its L1 table,
// its first L2 table, a compressed cluster), an offset there, and bytes.
func damage(file, changes []byte) []byte {
	b := binary.BigEndian
	file = bytes.Clone(file)
	l1 := int(b.Uint64(file[40:]))
	l2 := int(b.Uint64(file[l1:]) & 0x00fffffffffffe00)
	bits := b.Uint32(file[20:])
	cluster := int(b.Uint64(file[l2:]) & (1<<(70-bits) - 1))
	for len(changes) > 4 {
		part, at, n := changes[0]%4, int(b.Uint16(changes[1:])), min(int(changes[3]), len(changes)-4)
		p := changes[4 : 4+n]
		changes = changes[4+n:]
		start := [4]int{20, l1, l2, cluster}[part]
		if part == 0 {
			at %= 92 // up to the extensions: the name of a backing file is before
		} else {
			at %= 1 << min(bits, 12)
		}
		if start+at < len(file) {
			copy(file[start+at:], p)
		}
	}
	return file
}

// seeds are changes to each part.
var seeds = [][]byte{
	{},
	{0, 0, 0, 4, 0, 0, 0, 9},                         // cluster size
	{0, 0, 4, 8, 0, 0, 0, 0, 0, 8, 0, 0},             // size of the disk
	{0, 0, 55, 5, 0, 0, 0, 0, 0x80},                  // features
	{0, 0, 59, 1, 0x10},                              // extended L2 entries
	{1, 0, 0, 8, 0x80, 0, 0, 0, 0, 3, 0, 0},          // L2 table
	{1, 0, 0, 8, 0x80, 0, 0, 0, 0, 3, 1, 0},          //
	{2, 0, 0, 8, 0x80, 0, 0, 0, 0, 1, 0, 0},          // plain
	{2, 0, 0, 8, 0x80, 0, 0, 0, 0, 0, 0, 1},          // zeros
	{2, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0},             //
	{2, 0, 8, 8, 0x40, 0, 0, 0, 0, 3, 7, 9},          // compressed
	{2, 0, 8, 8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0, 0}, //
	{2, 0, 8, 8, 0, 0, 0, 1, 0, 0, 0, 1},             // bitmap
	{3, 0, 0, 3, 0xff, 0xff, 0xff},                   // data
	{3, 0, 9, 3, 1, 2, 3},                            //
}

// FuzzImage reads damaged images. Whatever is in them, reads and extents agree, and
// memory is bounded.
func FuzzImage(f *testing.F) {
	files := fuzzed(f)
	for i := range files {
		for _, s := range seeds {
			f.Add(uint8(i), s)
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, changes []byte) {
		file := damage(files[int(i)%len(files)], changes)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := qcow2.Open("fuzzed", memory{bytes.NewReader(file)}, qcow2.Config{Memory: 32 << 20})
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 80<<20 {
			t.Errorf("took %d bytes", took)
		}
		if err != nil {
			return
		}
		defer m.Close()
		for _, off := range []int64{0, 1 << 18, m.Size() / 3, m.Size() - min(m.Size(), 1<<16)} {
			if off >= m.Size() {
				continue
			}
			n, data, err := m.Extent(off)
			if err != nil {
				continue
			}
			if n <= 0 || n > m.Size()-off {
				t.Fatalf("extent of %d bytes at %d of %d", n, off, m.Size())
			}
			p := make([]byte, min(n, 1<<18))
			if err := backstores.ReadVec(m, [][]byte{p}, off, 0); err != nil {
				if !data {
					t.Errorf("a hole at %d: %v", off, err)
				}
				continue
			}
			if !data && !backstores.IsZero(p) {
				t.Errorf("a hole at %d holds data", off)
			}
			q := bytes.Repeat([]byte{1}, len(p))
			if err := backstores.ReadVec(m, [][]byte{q[:len(q)/2], q[len(q)/2:]}, off, backstores.NoWait); err != backstores.ErrWouldBlock && (err != nil || !bytes.Equal(p, q)) {
				t.Errorf("read again at %d: other bytes, or %v", off, err)
			}
		}
	})
}

// FuzzAgainstQEMU compares damaged images with what qemu-img convert makes of them,
// if it does.
func FuzzAgainstQEMU(f *testing.F) {
	files := fuzzed(f)
	for i := range files {
		for j, s := range seeds {
			if (i+j)%3 == 0 { // each takes 30 ms
				f.Add(uint8(i), s)
			}
		}
	}
	dir := storetest.MemDir(f)
	f.Fuzz(func(t *testing.T, i uint8, changes []byte) {
		file := damage(files[int(i)%len(files)], changes)
		h, err := qcow2.ParseHeader(file)
		if err != nil || h.Size < 512 || h.Size > 4*fuzzSize || h.Backing != "" || h.Incompatible&qcow2.ExternalData != 0 {
			return
		}
		in, out := filepath.Join(dir, fmt.Sprint(os.Getpid(), ".in")), filepath.Join(dir, fmt.Sprint(os.Getpid(), ".out"))
		if err := os.WriteFile(in, file, 0o600); err != nil {
			t.Fatal(err)
		}
		message, qemuErr := exec.Command("qemu-img", "convert", "-f", "qcow2", "-O", "raw", in, out).CombinedOutput()
		got, err := readAll(file)
		switch {
		case qemuErr != nil: // it also reads what only writing needs
		case err == nil:
			if want := storetest.ReadFile(t, out); !bytes.Equal(got, want) {
				t.Errorf("%d bytes, want %d other ones", len(got), len(want))
			}
		// QEMU reads zeros where a file is cut short.
		case !strings.Contains(err.Error(), "the file ends at") && !strings.Contains(err.Error(), "is cut short") && !strings.Contains(err.Error(), "L2 table"):
			t.Errorf("%v; QEMU reads it: %s", err, message)
		}
	})
}

// readAll reads the disk of an image.
func readAll(file []byte) ([]byte, error) {
	m, err := qcow2.Open("fuzzed", memory{bytes.NewReader(file)}, qcow2.Config{Memory: 32 << 20})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	p := make([]byte, m.Size())
	return p, backstores.ReadVec(m, [][]byte{p}, 0, 0)
}
