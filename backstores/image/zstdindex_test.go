package image_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// indexOf opens path and returns where its index came from.
func indexOf(t *testing.T, path string) string {
	t.Helper()
	return open(t, path, image.Options{}).(image.Describer).Info().Index
}

// A file without sizes in its frame headers is decoded once, and again when it
// has changed.
func TestZstdIndexIsSaved(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	path := filepath.Join(t.TempDir(), "disk.zst")
	shell(t, filepath.Dir(path), "for i in 1 2 3; do seq 100000 | zstd -q >>disk.zst; done")
	wantIndex(t, path, "decoding once")
	wantIndex(t, path, "an earlier decoding")
	shell(t, filepath.Dir(path), "seq 100000 | zstd -q >>disk.zst")
	wantIndex(t, path, "decoding once")
	files, _ := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "lunserve", "*"))
	if len(files) != 1 {
		t.Errorf("saved %q", files)
	}
	for _, f := range files {
		if err := os.Truncate(f, 40); err != nil {
			t.Fatal(err)
		}
	}
	wantIndex(t, path, "decoding once") // since what was saved is damaged
}

// What was saved for a file is replaced when the file is, or its times are changed.
// Two files do not share an entry.
func TestSavedIndexesDoNotPileUp(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	path, other := filepath.Join(dir, "disk.zst"), filepath.Join(dir, "other.zst")
	shell(t, dir, "seq 100000 | zstd -q >disk.zst; cp disk.zst other.zst")
	wantIndex(t, other, "decoding once")
	for range 3 {
		shell(t, dir, "touch disk.zst")
		wantIndex(t, path, "decoding once")
		shell(t, dir, "cp disk.zst new; mv new disk.zst")
		wantIndex(t, path, "decoding once")
	}
	t.Chdir(dir)
	wantIndex(t, "disk.zst", "an earlier decoding")
	wantIndex(t, other, "an earlier decoding")
	if files, _ := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "lunserve", "*")); len(files) != 2 {
		t.Errorf("saved %q", files)
	}
}

func wantIndex(t *testing.T, path, want string) {
	t.Helper()
	if got := indexOf(t, path); got != want {
		t.Errorf("index from %s, want %s", got, want)
	}
}

// A seek table that takes too long to check is not used, and the notice says so.
func TestUncheckedSeekTableIsSaid(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	path := filepath.Join(t.TempDir(), "disk.zst")
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	unsized := func(n int) []byte {
		var out bytes.Buffer
		enc.Reset(&out)
		enc.Write(bytes.Repeat([]byte("compress"), n/8))
		enc.Flush() // before it is known that no more follows
		enc.Close()
		return out.Bytes()
	}
	frames := [][]byte{unsized(80), unsized(160)}
	b := binary.LittleEndian
	var file, table []byte
	for i := range 20_000 {
		p := frames[i%2]
		file = append(file, p...)
		table = b.AppendUint32(b.AppendUint32(table, uint32(len(p))), uint32(80*(1+i%2)))
	}
	file = b.AppendUint32(b.AppendUint32(file, 0x184d2a5e), uint32(len(table)+9))
	file = b.AppendUint32(b.AppendUint32(append(file, table...), 20_000), 0x8f92eab1<<8&0xffffffff)
	file = append(file, 0x8f)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	var notice string
	open(t, path, image.Options{CacheSize: 4 << 20, Notice: func(note error) { notice += hint.Text(note) }})
	if !strings.Contains(notice, "disk.zst: its seek table has too many different sizes to check, and its frames do not give theirs; decompressing ") {
		t.Errorf("notice %q", notice)
	}
}

// A file whose middle is rewritten in place, and which then gets its old times, as
// rsync --inplace -t does it, is not read by the index of the old one.
func TestSavedIndexIsOfThisContents(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.zst")
	// Two middles of the same length, one of which decodes to less.
	shell(t, dir, `for n in 200000 50000 40000; do head -c $n /dev/urandom | base64 >$n; zstd -q <$n >$n.zst; done`)
	read := func(name string) []byte {
		p, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	end, middle, other := read("200000.zst"), read("50000.zst"), read("40000.zst")
	pad := len(middle) - len(other) - 8
	other = append(other, "\x50\x2a\x4d\x18"...)
	other = append(binary.LittleEndian.AppendUint32(other, uint32(pad)), make([]byte, pad)...)
	if err := os.WriteFile(path, bytes.Join([][]byte{end, middle, end}, nil), 0o644); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	wantIndex(t, path, "decoding once")

	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(other, int64(len(end))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, image.Options{})
	want, err := exec.Command("zstd", "-dc", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size())); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d, or they differ: %v", len(got), len(want), err)
	}
}

// An index that another user can have written is not used, and none is written
// where others may write.
func TestCacheOfOthersIsNotTrusted(t *testing.T) {
	storetest.NeedRoot(t)
	path := filepath.Join(t.TempDir(), "disk.zst")
	shell(t, filepath.Dir(path), "for i in 1 2 3; do seq 1000 | zstd -q >>disk.zst; done")
	const nobody = 65534
	for name, change := range map[string]func(dir, file string) error{
		"a directory that all may write":       func(dir, _ string) error { return os.Chmod(dir, 0o777) },
		"a directory that a group may write":   func(dir, _ string) error { return os.Chmod(dir, 0o775) },
		"a directory that all write, sticky":   func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) },
		"a directory of another user":          func(dir, _ string) error { return os.Chown(dir, nobody, 0) },
		"a file that all may write":            func(_, file string) error { return os.Chmod(file, 0o666) },
		"a file of another user":               func(_, file string) error { return os.Chown(file, nobody, 0) },
		"a symbolic link in place of the file": link,
		"a symbolic link in place of the directory": func(dir, _ string) error {
			return link("", dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", cache)
			indexOf(t, path)
			wantIndex(t, path, "an earlier decoding")
			files, _ := filepath.Glob(filepath.Join(cache, "lunserve", "*"))
			if len(files) != 1 {
				t.Fatalf("saved %q", files)
			}
			if err := change(filepath.Join(cache, "lunserve"), files[0]); err != nil {
				t.Fatal(err)
			}
			wantIndex(t, path, "decoding once")
		})
	}
}

// link replaces a file or directory by a symbolic link to it.
func link(_, path string) error {
	if err := os.Rename(path, path+".moved"); err != nil {
		return err
	}
	return os.Symlink(path+".moved", path)
}
