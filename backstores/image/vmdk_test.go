package image_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// vmdkDisk returns a disk of n bytes: noise, text and zeros, in pieces that are not
// grains.
func vmdkDisk(n int) []byte {
	p := noise(n)
	for off := 0; off < n; off += 300_000 {
		copy(p[off:], bytes.Repeat([]byte("text"), 25_000))
		clear(p[min(off+150_000, n):min(off+290_000, n)])
	}
	return p
}

// exported returns a disk as VMware and VirtualBox export it: with a marker before each
// part, each grain table after its grains, and the directory and a footer at the end.
func exported(disk []byte) []byte {
	const sector, grain, perTable = 512, 128 * 512, 512
	b := binary.LittleEndian
	header := make([]byte, sector)
	copy(header, "KDMV")
	b.PutUint32(header[4:], 3)
	b.PutUint32(header[8:], 1|1<<16|1<<17)
	b.PutUint64(header[12:], uint64(len(disk)/sector))
	b.PutUint64(header[20:], 128)
	b.PutUint64(header[28:], 1)
	b.PutUint64(header[36:], 1)
	b.PutUint32(header[44:], perTable)
	b.PutUint64(header[56:], 1<<64-1)
	b.PutUint64(header[64:], 128)
	copy(header[73:], "\n \r\n\x01\x00")
	file := append(header[:sector:sector], make([]byte, grain-sector)...)
	copy(file[sector:], "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n"+
		fmt.Sprintf("RDONLY %d SPARSE \"disk.vmdk\"\n", len(disk)/sector))
	pad := func() int {
		file = append(file, make([]byte, -len(file)&(sector-1))...)
		return len(file) / sector
	}
	marker := func(value, kind int) {
		pad()
		file = b.AppendUint64(file, uint64(value))
		file = b.AppendUint32(b.AppendUint32(file, 0), uint32(kind))
	}
	var directory, table []byte
	for off := 0; off < len(disk); off += grain {
		part := disk[off:min(off+grain, len(disk))]
		at := 0
		if !backstores.IsZero(part) {
			at = pad()
			var z bytes.Buffer
			w := zlib.NewWriter(&z)
			w.Write(part)
			w.Close()
			file = b.AppendUint32(b.AppendUint64(file, uint64(off/sector)), uint32(z.Len()))
			file = append(file, z.Bytes()...)
		}
		table = b.AppendUint32(table, uint32(at))
		if len(table) < perTable*4 && off+grain < len(disk) {
			continue
		}
		at = 0
		if !backstores.IsZero(table) {
			marker(4, 1)
			at = pad()
			file = append(file, append(table, make([]byte, perTable*4-len(table))...)...)
		}
		directory, table = b.AppendUint32(directory, uint32(at)), nil
	}
	marker(1, 2)
	b.PutUint64(header[56:], uint64(pad()))
	file = append(file, directory...)
	marker(1, 3)
	pad()
	file = append(file, header...)
	return append(file, make([]byte, sector)...)
}

// What QEMU and others export is what QEMU reads, and a store like any other.
func TestStreamOptimizedVMDK(t *testing.T) {
	t.Chdir(storetest.MemDir(t))
	for name, disk := range map[string][]byte{
		"whole grains":   vmdkDisk(4 << 20),
		"some sectors":   append(vmdkDisk(1<<20), append(make([]byte, 32<<20), vmdkDisk(1<<20+512)...)...),
		"less than one":  vmdkDisk(4096),
		"nothing":        make([]byte, 33<<20),
		"at the end":     append(make([]byte, 65<<20), vmdkDisk(1<<20+1024)...),
		"a table's size": append(vmdkDisk(100_352), make([]byte, 32<<20-100_352)...),
	} {
		write(t, "disk.raw", disk)
		write(t, "other.vmdk", exported(disk))
		storetest.Command(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "qemu.vmdk")
		for _, file := range []string{"qemu.vmdk", "other.vmdk"} {
			t.Run(name+" "+file, func(t *testing.T) {
				storetest.Command(t, "qemu-img", "convert", "-f", "vmdk", "-O", "raw", file, "back.raw")
				if !bytes.Equal(storetest.ReadFile(t, "back.raw"), disk) {
					t.Fatal("QEMU reads another disk")
				}
				storetest.Same(t, open(t, file, reading), open(t, "disk.raw", reading))
				if err := unpack(file, "unpacked.raw"); err != nil || !bytes.Equal(storetest.ReadFile(t, "unpacked.raw"), disk) {
					t.Errorf("unpacked another disk, %v", err)
				}
				os.Remove("unpacked.raw")
				if len(disk) == 4<<20 {
					storetest.Run(t, func(t testing.TB) backstores.Backstore { return open(t, file, reading) })
				}
			})
		}
	}
}

// Writes are kept in an overlay, which is written to a new image with the rest.
func TestOverlayOverVMDK(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := vmdkDisk(1 << 20)
	write(t, "disk.vmdk", exported(disk))
	o := openOverlay(t, "over", "disk.vmdk")
	if err := backstores.WriteVec(o, [][]byte{[]byte("written")}, 1000, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(backstores.Flush(o), o.Close()); err != nil {
		t.Fatal(err)
	}
	if err := (image.Merge{Base: "disk.vmdk"}).Export(ctx, "over", "new.img", false); err != nil {
		t.Fatal(err)
	}
	copy(disk[1000:], "written")
	storetest.Holds(t, open(t, "new.img", reading), disk)
}

// With little memory all is read as well, and a format can be named.
func TestStreamOptimizedVMDKInLittleMemory(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := vmdkDisk(6 << 20)
	write(t, "disk.vmdk", exported(disk))
	storetest.Holds(t, open(t, "disk.vmdk", image.Options{Format: image.VMDK, CacheSize: 1 << 20}), disk)
	write(t, "raw", disk)
	_, err := image.Open(ctx, "raw", image.Options{Format: image.VMDK})
	storetest.WantError(t, err, "raw", "PATH: is not a VMDK image; try --format auto")
}

// An error says what is wrong. No entry is believed.
func TestDamagedStreamOptimizedVMDK(t *testing.T) {
	t.Chdir(t.TempDir())
	good := exported(vmdkDisk(1 << 20))
	footer := len(good) - 1024
	first := 64 << 10 // grain
	directory := int(binary.LittleEndian.Uint64(good[footer+56:])) * 512
	table := int(binary.LittleEndian.Uint32(good[directory:])) * 512
	change := func(at int, p ...byte) []byte {
		return append(append(bytes.Clone(good[:at]), p...), good[at+len(p):]...)
	}
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"cut short":       {good[:len(good)-1024], "PATH: VMDK image: is cut short: it has no footer"},
		"half":            {good[:directory], "PATH: VMDK image: is cut short: it has no footer"},
		"version":         {change(footer+4, 4), "PATH: VMDK image: has an unknown version or compression"},
		"compression":     {change(footer+77, 2), "PATH: VMDK image: has an unknown version or compression"},
		"no grains":       {change(footer+20, 0), "PATH: VMDK image: has grains of 0 sectors, and 512 of them in a table"},
		"large grains":    {change(footer+20, 0, 2), "PATH: VMDK image: has grains of 512 sectors, and 512 of them in a table"},
		"tiny grains":     {change(footer+20, 4), "PATH: VMDK image: has grains of 4 sectors, and 512 of them in a table"},
		"odd grains":      {change(footer+20, 96), "PATH: VMDK image: has grains of 96 sectors, and 512 of them in a table"},
		"small tables":    {change(footer+44, 1, 0), "PATH: VMDK image: has grains of 128 sectors, and 1 of them in a table"},
		"large tables":    {change(footer+44, 0, 0, 0, 1), "PATH: VMDK image: has grains of 128 sectors, and 16777216 of them in a table"},
		"huge disk":       {change(footer+12, 0, 0, 0, 0, 0, 0, 0, 0xff), "PATH: VMDK image: has more than 8388608 grains"},
		"directory":       {change(footer+56, 0, 0, 0, 1), "PATH: VMDK image: grain directory: unexpected EOF"},
		"directory below": {change(footer+56, 0, 0, 0, 0, 0, 0, 0, 0xc0), "PATH: VMDK image: grain directory: unexpected EOF"},
		"table":           {change(directory, 0, 0, 0, 1), "PATH: grain table 0: unexpected EOF"},
		"grain":           {change(table, 0, 0, 0, 1), "PATH: grain at 0, at 8589934592 in the file: unexpected EOF"},
		"size":            {change(first+8, 0, 0, 0, 0), "PATH: grain at 0, at 65536 in the file: unexpected EOF"},
		"no zlib":         {change(first+12, 0), "PATH: grain at 0, at 65536 in the file: zlib: invalid header"},
		"data":            {change(first+20, 1, 2, 3), "PATH: grain at 0, at 65536 in the file: "},
		"of another":      {change(table, good[table+4:table+8]...), ""}, // as for QEMU
	} {
		t.Run(name, func(t *testing.T) {
			write(t, "disk.vmdk", tt.file)
			s, err := image.Open(ctx, "disk.vmdk", image.Options{Format: image.VMDK})
			if err == nil {
				defer s.Close()
				_, err = s.ReadAt(make([]byte, 1<<20), 0)
			}
			if tt.want == "" && err == nil {
				return
			}
			if got := strings.ReplaceAll(fmt.Sprint(err), "disk.vmdk", "PATH"); err == nil || !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

// damagedVMDK returns a small image with changes: each an offset from the start or the
// end, and a byte.
func damagedVMDK(kind uint8, changes []byte) []byte {
	file := exported(append(vmdkDisk(200_000&^511), make([]byte, 1<<20)...))
	if kind%2 == 1 { // the directory is not at the end
		copy(file[56:64], file[len(file)-1024+56:])
	}
	for ; len(changes) >= 4; changes = changes[4:] {
		at := int(binary.LittleEndian.Uint16(changes)) % 4096
		switch changes[2] % 3 {
		case 0:
			file[at%512] = changes[3]
		case 1:
			file[len(file)-1-at] = changes[3]
		default:
			file[64<<10+at] = changes[3]
		}
	}
	return file
}

// FuzzVMDK reads damaged images. Whatever is in them, reads and extents agree; and what
// qemu-img convert makes of them, if it does, is what is read, if it is.
func FuzzVMDK(f *testing.F) {
	for kind := range uint8(2) {
		f.Add(kind, []byte{})
		f.Add(kind, []byte{8, 0, 0, 5})               // flags
		f.Add(kind, []byte{12, 0, 0, 1})              // capacity
		f.Add(kind, []byte{21, 0, 0, 1})              // grains
		f.Add(kind, []byte{56, 0, 0, 9})              // directory
		f.Add(kind, []byte{0, 6, 1, 1})               // in the directory, or the table
		f.Add(kind, []byte{8, 0, 2, 1})               // size
		f.Add(kind, []byte{14, 0, 2, 7})              // data
		f.Add(kind, []byte{255, 1, 1, 3, 1, 8, 1, 1}) // footer
	}
	dir := storetest.MemDir(f)
	in, out := filepath.Join(dir, "in.vmdk"), filepath.Join(dir, "out")
	f.Fuzz(func(t *testing.T, kind uint8, changes []byte) {
		if err := os.WriteFile(in, damagedVMDK(kind, changes), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := image.Open(ctx, in, image.Options{Format: image.VMDK, CacheSize: 4 << 20})
		if err != nil {
			return
		}
		defer s.Close()
		p := make([]byte, min(s.Size(), 2<<20))
		if err := backstores.ReadVec(s, [][]byte{p}, 0, 0); err != nil {
			return
		}
		for off := int64(0); off < int64(len(p)); {
			n, data, err := backstores.Extent(s, off)
			if err != nil || n <= 0 || n > s.Size()-off {
				t.Fatalf("extent of %d bytes at %d of %d, %v", n, off, s.Size(), err)
			}
			if end := min(off+n, int64(len(p))); !data && !backstores.IsZero(p[off:end]) {
				t.Fatalf("a hole at %d holds data", off)
			}
			off += n
		}
		if s.Size() > int64(len(p)) || exec.Command("qemu-img", "convert", "-f", "vmdk", "-O", "raw", in, out).Run() != nil {
			return
		}
		if want := storetest.ReadFile(t, out); !bytes.Equal(p, want) {
			t.Errorf("%d bytes, want %d other ones", len(p), len(want))
		}
	})
}
