package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// A disk of all kinds of chunk, and the checksums of it from the start to each
// chunk and to the end.
func summedSimg(t *testing.T) (disk []byte, chunks []simgChunkSpec, sums []uint32) {
	data := bytes.Repeat([]byte("sparse"), 400*simgBlock/6+1)[:400*simgBlock] // of more than a megabyte
	for _, c := range []struct {
		simgChunkSpec
		bytes []byte
	}{
		{simgChunkSpec{simgRaw, 400, data}, data},
		{simgChunkSpec{simgDontCare, 10, nil}, make([]byte, 10*simgBlock)},
		{simgChunkSpec{simgFill, 300, []byte{1, 2, 3, 4}}, bytes.Repeat([]byte{1, 2, 3, 4}, 300*simgBlock/4)},
		{simgChunkSpec{simgFill, 5, make([]byte, 4)}, make([]byte, 5*simgBlock)},
		{simgChunkSpec{simgRaw, 1, data[:simgBlock]}, data[:simgBlock]},
	} {
		sums = append(sums, crc32.ChecksumIEEE(disk))
		chunks = append(chunks, c.simgChunkSpec)
		disk = append(disk, c.bytes...)
	}
	return disk, chunks, append(sums, crc32.ChecksumIEEE(disk))
}

// Unpacking compares every checksum of an Android sparse image: those of CRC32
// chunks, wherever they are, and that of the header.
func TestSimgChecksumsAreCompared(t *testing.T) {
	disk, chunks, sums := summedSimg(t)
	var all []simgChunkSpec
	at := map[int]int{} // the number of a CRC32 chunk among the chunks
	for i, sum := range sums {
		at[i] = len(all)
		all = append(all, simgChunkSpec{simgCRC32, 0, binary.LittleEndian.AppendUint32(nil, sum)})
		if i < len(chunks) {
			all = append(all, chunks[i])
		}
	}
	header := func(p []byte, sum uint32) []byte {
		binary.LittleEndian.PutUint32(p[24:], sum)
		return p
	}
	blocks := uint32(len(disk) / simgBlock)
	good := header(encodeSimg(blocks, all...), sums[len(chunks)])
	bad := map[string][]byte{"header": header(bytes.Clone(good), 1)}
	for i := range sums {
		c := bytes.Clone(all[at[i]].body)
		c[3] ^= 0x40
		wrong := append([]simgChunkSpec(nil), all...)
		wrong[at[i]].body = c
		bad["chunk "+string(rune('0'+i))] = encodeSimg(blocks, wrong...)
	}
	damaged := bytes.Clone(good)
	damaged[len(damaged)-simgChunkBytes-4-simgBlock] ^= 1
	bad["contents"] = damaged

	path := filepath.Join(t.TempDir(), "disk.simg")
	unpacked := func(p []byte) ([]byte, error) {
		if err := os.WriteFile(path, p, 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(path + ".out")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		n, err := Unpack(context.Background(), path, out, Options{})
		if err != nil {
			return nil, err
		}
		got := make([]byte, n)
		if k, err := out.ReadAt(got, 0); err != nil && err != io.EOF || k == 0 {
			t.Fatal(err)
		}
		return got, nil
	}
	for name, p := range map[string][]byte{"sums": good, "none": encodeSimg(blocks, chunks...)} {
		if got, err := unpacked(p); err != nil || !bytes.Equal(got, disk) {
			t.Errorf("%s: %d bytes, want %d, or they differ: %v", name, len(got), len(disk), err)
		}
	}
	// As libsparse writes it: one block of a fill, and nothing for a hole.
	fill := []byte{1, 2, 3, 4}
	data := bytes.Repeat([]byte("data"), simgBlock/4)
	sum := crc32.ChecksumIEEE(append(bytes.Clone(data), bytes.Repeat(fill, simgBlock/4)...))
	theirs := encodeSimg(9, simgChunkSpec{simgRaw, 1, data}, simgChunkSpec{simgFill, 3, fill}, simgChunkSpec{simgDontCare, 5, nil},
		simgChunkSpec{simgCRC32, 0, binary.LittleEndian.AppendUint32(nil, sum)})
	if got, err := unpacked(theirs); err != nil || len(got) != 9*simgBlock {
		t.Errorf("as libsparse writes it: %d bytes, %v", len(got), err)
	}
	for name, p := range bad {
		_, err := unpacked(p)
		if err == nil || !strings.HasPrefix(err.Error(), path+": the checksum of the first ") ||
			!strings.HasSuffix(hint.Text(err), "; try simg2img "+path+" "+strings.TrimSuffix(path, ".simg")+".img to unpack it regardless") {
			t.Errorf("wrong in %s: %v", name, err)
		}
	}
}

// The checksum is that of what simg2img makes of the image.
func TestSimgChecksumIsOfWhatItsOwnToolsUnpack(t *testing.T) {
	if _, err := exec.LookPath("simg2img"); err != nil {
		storetest.Missing(t, "android-sdk-libsparse-utils", err)
	}
	disk, chunks, sums := summedSimg(t)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	p := encodeSimg(uint32(len(disk)/simgBlock), append(chunks, simgChunkSpec{simgCRC32, 0, binary.LittleEndian.AppendUint32(nil, sums[len(chunks)])})...)
	if err := os.WriteFile(in, p, 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("simg2img", in, out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, disk) {
		t.Errorf("%d bytes, want %d, or they differ: %v", len(got), len(disk), err)
	}
}

// A hole of any size takes no time.
func TestChecksumOfZeros(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		p, n := make([]byte, r.IntN(100)), r.IntN(10_000)
		for i := range p {
			p[i] = byte(r.UintN(256))
		}
		want := crc32.ChecksumIEEE(append(bytes.Clone(p), make([]byte, n)...))
		if got := crcOfZerosAfter(crc32.ChecksumIEEE(p), int64(n)); got != want {
			t.Fatalf("%d bytes and %d zeros: %08x, want %08x", len(p), n, got, want)
		}
	}
	const half = 1 << 61
	if a, b := crcOfZerosAfter(7, 2*half), crcOfZerosAfter(crcOfZerosAfter(7, half), half); a != b {
		t.Errorf("%d zeros at once: %08x, in two: %08x", int64(2*half), a, b)
	}
}
