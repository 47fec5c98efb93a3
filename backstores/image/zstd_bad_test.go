package image_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// seekTable returns a seek table with entries of two or three numbers.
func seekTable(sums bool, entries ...[]uint32) []byte {
	var body []byte
	for _, e := range entries {
		for _, v := range e {
			body = binary.LittleEndian.AppendUint32(body, v)
		}
	}
	var flags byte
	if sums {
		flags = 0x80
	}
	b := binary.LittleEndian.AppendUint32(nil, 0x184D2A5E)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)+9))
	b = append(b, body...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)))
	b = append(b, flags)
	return binary.LittleEndian.AppendUint32(b, 0x8F92EAB1)
}

func encode(t testing.TB, p []byte, o ...zstd.EOption) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithWindowSize(1 << 20)}, o...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(p, nil)
}

// A file that is not what it claims fails to open or to read, or reads as zstd -d
// decompresses it. It never reads as other data, nor takes much memory.
func TestBadZstd(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	img := storetest.Contents(1 << 20)
	a, b := encode(t, img[:600_000]), encode(t, img[600_000:])
	la, lb := uint32(len(a)), uint32(len(b))
	bomb := encode(t, make([]byte, 200<<20))
	noSum := encode(t, img, zstd.WithEncoderCRC(false))
	flip := func(p []byte, at int) []byte {
		p = bytes.Clone(p)
		p[(at+len(p))%len(p)] ^= 0x10
		return p
	}
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	// A table that says that the second of three frames is as large as the first.
	const third = 400_000
	c, d := encode(t, img[:third]), encode(t, img[2*third:])
	hidden := func(second []byte) []byte {
		return join(c, second, d, seekTable(false, []uint32{uint32(len(c)), third}, []uint32{uint32(len(second)), third}, []uint32{uint32(len(d)), 1<<20 - 2*third}))
	}

	for _, tt := range []struct {
		name string
		file []byte
		open string // error of Open
		read string // error of reading everything; if empty, it reads as img
	}{
		{name: "as it should be", file: join(a, b, seekTable(false, []uint32{la, 600_000}, []uint32{lb, 1<<20 - 600_000}))},
		{name: "no table", file: join(a, b)},

		// A table that does not match the file is ignored.
		{name: "table past the end", file: join(a, b, seekTable(false, []uint32{la, 600_000}, []uint32{lb + 1, 1<<20 - 600_000}))},
		{name: "table too short", file: join(a, b, seekTable(false, []uint32{la, 600_000}))},
		{name: "table of 4 GiB frames", file: join(a, b, seekTable(false, []uint32{0xfffffff0, 0xfffffff0}))},
		{name: "table of 2^32-1 frames", file: join(a, b, seekTable(false), []byte("\xff\xff\xff\xff\x00\xb1\xea\x92\x8f")), open: "magic number mismatch"},
		{name: "table of no frames", file: join(a, b, seekTable(false))},
		{name: "table with reserved bits", file: join(a, b, flip(seekTable(false, []uint32{la, 600_000}, []uint32{lb, 1}), -5))},

		{name: "frame of more", file: join(a, b, seekTable(false, []uint32{la, 599_999}, []uint32{lb, 1<<20 - 600_000}))},
		{name: "frame of less", file: join(a, b, seekTable(false, []uint32{la, 600_001}, []uint32{lb, 1<<20 - 600_000}))},
		{name: "frames moved", file: join(a, b, seekTable(false, []uint32{la - 1, 600_000}, []uint32{lb + 1, 1<<20 - 600_000}))},
		{name: "frame of nothing", file: join(a, b, seekTable(false, []uint32{la, 600_000}, []uint32{lb, 1<<20 - 600_000}, []uint32{0, 5}))},

		// A table that matches is used until a frame turns out to differ.
		{name: "the truth about three", file: hidden(encode(t, img[third:2*third]))},
		{name: "hidden frame of more", file: hidden(encode(t, img[third:2*third+1])), read: "decodes to 400001 bytes, the index says 400000"},
		{name: "hidden frame of less", file: hidden(encode(t, img[third:2*third-1])), read: "decodes to 399999 bytes, the index says 400000"},
		{name: "hidden frame", file: hidden(join(encode(t, img[third:2*third]), encode(t, img[:5]))), read: "the index says"},
		{name: "hidden bomb", file: hidden(bomb), read: "decodes to 209715200 bytes, the index says 400000"},
		{name: "checksum of the table", file: join(a, b, seekTable(true, []uint32{la, 600_000, 1}, []uint32{lb, 1<<20 - 600_000, 2})), read: "checksum in the seek table"},
		{name: "checksum of the table alone", file: join(noSum, seekTable(true, []uint32{uint32(len(noSum)), 1 << 20, 1})), read: "checksum in the seek table"},

		{name: "corrupt block", file: join(a, flip(b, 1000)), read: "frame 1 at"},
		{name: "corrupt checksum", file: join(a, flip(b, -1)), read: "CRC check failed"},
		{name: "truncated", file: join(a, b[:len(b)-1]), open: "unexpected EOF"},
		{name: "truncated in a block", file: join(a, b)[:la+1000], open: "unexpected EOF"},
		{name: "truncated in a header", file: join(a, b[:5]), open: "unexpected EOF"},
		{name: "zeros after the end", file: join(a, b, make([]byte, 512)), open: "frame at"},
		{name: "skippable frame past the end", file: join(a, []byte("\x50\x2a\x4d\x18\xff\xff\xff\xff")), open: "past the end of the file"},
		{name: "reserved block", file: append([]byte("\x28\xb5\x2f\xfd\x20\x04\x07\x00\x00"), make([]byte, 20)...), open: "reserved"},
		{name: "empty", file: encode(t, nil, zstd.WithZeroFrames(true)), open: "is empty after decompression"},
		{name: "a dictionary", file: append([]byte("\x28\xb5\x2f\xfd\x21\x07\x04\x21\x00\x00abcd"), make([]byte, 20)...), open: "dictionary 7, which is not in the file; try zstd -d -D DICTIONARY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.zst")
			if err := os.WriteFile(path, tt.file, 0o644); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s, err := image.Open(ctx, path, image.Options{})
			if tt.open != "" {
				if err == nil {
					s.Close()
				}
				if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(hint.Text(err), tt.open) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one with %q", err, tt.open)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
			if tt.read == "" {
				if err != nil || !bytes.Equal(got, img) {
					t.Errorf("%d bytes, want %d, or they differ (error %v)", len(got), len(img), err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.read) {
				t.Errorf("error %v, want one with %q", err, tt.read)
			} else if len(got) > len(img) || !bytes.Equal(got, img[:len(got)]) {
				t.Errorf("%d bytes before the error that are not the image's", len(got))
			}
			runtime.ReadMemStats(&after)
			if mem := after.TotalAlloc - before.TotalAlloc; mem > 32<<20 {
				t.Errorf("%d MiB allocated", mem>>20)
			}
		})
	}
}

// A file that was changed after it was opened returns an error, or what was there
// before.
func TestZstdChangedWhileServed(t *testing.T) {
	for name, change := range map[string]func(f *os.File) error{
		"cut off": func(f *os.File) error { return f.Truncate(4096) },
		"overwritten": func(f *os.File) error {
			_, err := f.WriteAt(make([]byte, 9), 300_000)
			return err
		},
		"replaced": func(f *os.File) error {
			packFile(t, f.Name(), bytes.Repeat(storetest.Contents(1<<20), 4), 64<<10)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.zst")
			img := storetest.Contents(4 << 20)
			packFile(t, path, img, 64<<10)
			s := open(t, path, image.Options{})
			p := make([]byte, 4096)
			if _, err := s.ReadAt(p, 0); err != nil || !bytes.Equal(p, img[:4096]) {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := change(f); err != nil {
				t.Fatal(err)
			}
			failed := 0
			for off := int64(0); off < s.Size(); off += 4096 { // what is cached can still be read
				_, err := s.ReadAt(p, off)
				switch {
				case err == nil && !bytes.Equal(p, img[off:off+4096]):
					t.Fatalf("other bytes at %d", off)
				case err != nil && !strings.Contains(err.Error(), "changed while it was served"):
					t.Fatal(err)
				case err != nil:
					failed++
				}
			}
			if failed == 0 {
				t.Error("no read fails")
			}
		})
	}
}

// If the seek table has checksums, a frame shows by itself that it is unchanged, so
// a new time of the file loses nothing. Without them nothing shows it.
func TestTouchedZstdIsRead(t *testing.T) {
	dir, img := t.TempDir(), storetest.Contents(4<<20)
	packFile(t, filepath.Join(dir, "sums.zst"), img, 64<<10)
	shell(t, dir, "zstd -dqc sums.zst | split -b 1M --filter='zstd -q' >nosums.zst")
	for name, want := range map[string]string{"sums.zst": "", "nosums.zst": "the image was changed while it was served"} {
		path := filepath.Join(dir, name)
		s := open(t, path, image.Options{})
		if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, s.Size())
		switch _, err := s.ReadAt(p, 0); {
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v", name, err)
		case want == "" && (err != nil || !bytes.Equal(p, img)):
			t.Errorf("%s: %v, or other bytes", name, err)
		}
	}
}

func TestUnpackingToAFullDirectoryFails(t *testing.T) {
	dir := storetest.Mount(t, "tmpfs", "tmpfs", 0, "size=1m")
	path := filepath.Join(t.TempDir(), "disk.zst")
	shell(t, filepath.Dir(path), "head -c 3M /dev/urandom | zstd -q >disk.zst")
	var lines []string
	_, err := image.Open(ctx, path, image.Options{CacheSize: 1 << 20, TempDir: dir,
		Notice: func(note error) { lines = append(lines, hint.Text(note)) }})
	storetest.WantError(t, err, path, "PATH: unpack to "+dir+": needs at least 3.0 MiB; 1.0 MiB are free, and 5 % of that must stay free; try --tmpdir DIR")
	if len(lines) != 1 || !strings.Contains(lines[0], "; try lunserve pack") {
		t.Errorf("notices %q", lines)
	}
}

func TestLargeWindowMustBeAllowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.zst")
	shell(t, filepath.Dir(path), "head -c 3M /dev/urandom | zstd -q --ultra --long=28 >disk.zst")
	o := image.Options{CacheSize: 1 << 20, Notice: func(note error) { t.Errorf("notice of what fails: %v", note) }}
	_, err := image.Open(ctx, path, o)
	storetest.WantError(t, err, path, "PATH: needs a window of 256 MiB of memory to decompress; try --zstd-window 268435456")
	i, s, err := image.Inspect(ctx, path, o)
	if err != nil || s != nil {
		t.Fatal(s, err)
	}
	if want := "lunserve --zstd-window 268435456 " + path; i.Serve != want {
		t.Errorf("served with %q, want %q", i.Serve, want)
	}
	if want := "lunserve pack --zstd-window 268435456 " + path + " "; !strings.HasPrefix(i.Pack, want) {
		t.Errorf("packed with %q, want %q", i.Pack, want)
	}
	var notice string
	o.MaxWindow, o.Notice = 256<<20, func(note error) { notice = hint.Text(note) }
	defer func() {
		if !strings.Contains(notice, "; try lunserve pack --zstd-window 268435456 ") {
			t.Errorf("notice %q", notice)
		}
	}()
	if s := open(t, path, o); s.Size() != 3<<20 {
		t.Errorf("size %d", s.Size())
	}
}
