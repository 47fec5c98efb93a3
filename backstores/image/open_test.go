package image_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func TestOpenSuggestsACommand(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // for short paths
	for _, err := range []error{
		os.Mkdir("images", 0o755),
		os.WriteFile("empty.img", nil, 0o644),
		os.WriteFile("full.img", make([]byte, 4096), 0o644),
		unix.Mkfifo("pipe", 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	const gib = 1 << 30
	for _, tt := range []struct {
		path string
		o    image.Options
		want string
	}{
		{"", image.Options{}, "no image given; try lunserve --help"},
		{"missing.img", image.Options{},
			"missing.img: no such file or directory; try lunserve --size 10G missing.img to make one"},
		{"missing.img", image.Options{ReadOnly: true}, "missing.img: no such file or directory"},
		{"missing.img", image.Options{ReadOnly: true, Create: gib}, "missing.img: no such file or directory"},
		{"missing.zst", image.Options{Format: image.Zstd}, "missing.zst: no such file or directory"},
		{"fuull.img", image.Options{}, "fuull.img: no such file or directory; did you mean full.img?"},
		{"full2.img", image.Options{ReadOnly: true}, "full2.img: no such file or directory"}, // another disk
		{"Empty.IMG", image.Options{ReadOnly: true}, "Empty.IMG: no such file or directory; did you mean empty.img?"},
		{"empty", image.Options{}, "empty: no such file or directory; did you mean empty.img?"},
		{"socke", image.Options{ReadOnly: true}, "socke: no such file or directory"}, // no file
		{"/dev/nul", image.Options{}, "/dev/nul: no such file or directory; try lsblk to list the block devices"},
		{"./f?ull.img", image.Options{}, "./f?ull.img: no such file or directory; did you mean ./full.img?"},
		{"no/*.img", image.Options{}, "no/*.img: no file matches; try ls no/ to see what is there"},
		{"ftp://example.org/", image.Options{}, "ftp://example.org/: is a URL, and only those of http, https and s3 can be opened; try curl -fL -o disk.img ftp://example.org/"},
		{"FTP://joe:pw@example.org/full.img?x", image.Options{}, "ftp://example.org/full.img: is a URL, and only those of http, https and s3 can be opened; try curl -fL -o NEW-full.img URL"},
		{"ftp://example.org/a/..", image.Options{}, "ftp://example.org/a/..: is a URL, and only those of http, https and s3 can be opened; try curl -fL -o disk.img ftp://example.org/a/.."},
		{"nbd://localhost/a", image.Options{}, "nbd://localhost/a: is a URL, and only those of http, https and s3 can be opened"},
		{"http://joe:pw@127.0.0.1/full.img", image.Options{}, "http://127.0.0.1/full.img: other users see a password on the command line; try --netrc-file FILE to read it from a file"},
		{"s3://bucket/full.img", image.Options{Create: 512}, "s3://bucket/full.img: is a URL, and --size makes files"},
		{"Bob's disk.img", image.Options{},
			`Bob's disk.img: no such file or directory; try lunserve --size 10G 'Bob'\''s disk.img' to make one`},
		{"-r.img", image.Options{},
			"-r.img: no such file or directory; try lunserve --size 10G ./-r.img to make one"},
		{"no/disk.img", image.Options{}, "no/disk.img: no such file or directory"},
		{"images/disk.img", image.Options{},
			"images/disk.img: no such file or directory; try lunserve --size 10G images/disk.img to make one"},
		{"no/disk.img", image.Options{Create: gib}, "no/disk.img: no such file or directory; try mkdir -p no to make the folder"},
		{"full.img/disk.img", image.Options{}, "full.img/disk.img: not a directory"},
		{"images", image.Options{}, "images: is a directory, not an image; try ls images to find one"},
		{"images", image.Options{ReadOnly: true}, "images: is a directory, not an image; try ls images to find one"},
		{"pipe", image.Options{ReadOnly: true}, "pipe: is a pipe, which has no random access; try cat pipe >NEW.img"},
		{"socket", image.Options{}, "socket: is neither a file nor a block device"},
		{"/dev/null", image.Options{},
			"/dev/null: is a character device, not an image; try lsblk to find a block device"},
		{"empty.img", image.Options{}, "empty.img: is empty; try truncate -s '>10G' empty.img to fill it with zeros"},
		{"empty.img", image.Options{ReadOnly: true}, "empty.img: is empty"},
		{"empty.img", image.Options{ReadOnly: true, Create: gib}, "empty.img: is empty"},
		{"empty.img", image.Options{Create: gib}, "empty.img: exists and is empty; try truncate -s '>1073741824' empty.img to fill it with zeros"},
		{"full.img", image.Options{Create: gib},
			"full.img: exists and has 4096 bytes, not 1073741824; leave out --size to serve it as it is"},
	} {
		s, err := image.Open(ctx, tt.path, tt.o)
		storetest.WantError(t, err, tt.path, tt.want)
		if s != nil {
			t.Errorf("Open(%q) returned a store with its error", tt.path)
		}
	}
	if _, err := os.Stat("missing.img"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("an image was created without Create")
	}
	for name, want := range map[string]int64{"empty.img": 0, "full.img": 4096} {
		if st, err := os.Stat(name); err != nil || st.Size() != want {
			t.Errorf("Open changed the size of %s", name)
		}
	}
}

func TestOpenMakesASparseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.img")
	s := open(t, path, image.Options{Create: 10 << 30})
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if s.Size() != 10<<30 || st.Size != 10<<30 || st.Blocks*512 > 64<<10 {
		t.Errorf("made a file of %d bytes, %d allocated, called %d", st.Size, st.Blocks*512, s.Size())
	}
	if st.Mode&0o777&^0o644 != 0 {
		t.Errorf("made with mode %o", st.Mode)
	}
	if n, data, err := backstores.Extent(s, 0); n != s.Size() || data || err != nil {
		t.Errorf("Extent(0) = %d, %v, %v of a new file", n, data, err)
	}
	s.Close()
	if s := open(t, path, image.Options{Create: 10 << 30}); s.Size() != 10<<30 {
		t.Errorf("opened again: %d bytes", s.Size())
	}
}

func TestFailedOpenLeavesNoNewFile(t *testing.T) {
	path := filepath.Join(storetest.TempDir(t, "/var/tmp"), "new.img")
	s, err := image.Open(ctx, path, image.Options{Create: 1<<63 - 1})
	if err == nil {
		t.Logf("%s supports files of any size", filepath.Dir(path))
		s.Close()
		return
	}
	storetest.WantError(t, err, path, "PATH: make a file of 9223372036854775807 bytes: file too large")
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there (%v)", err)
	}
}

func TestOpenOnReadOnlyFileSystem(t *testing.T) {
	dir := storetest.Mount(t, "none", "tmpfs", 0, "size=1m")
	path := storetest.NewFile(t, dir, 4096)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := image.Open(ctx, path, image.Options{})
	storetest.WantError(t, err, path, "PATH: cannot be opened for writing: read-only file system; try --read-only")
	path = filepath.Join(dir, "new.img")
	_, err = image.Open(ctx, path, image.Options{Create: 4096})
	storetest.WantError(t, err, dir, "PATH: make a file: read-only file system")
}

func TestOpenImmutableFile(t *testing.T) {
	storetest.NeedRoot(t)
	path := storetest.NewFile(t, storetest.TempDir(t, "/var/tmp"), 4096)
	storetest.Command(t, "chattr", "+i", path)
	t.Cleanup(func() { storetest.Command(t, "chattr", "-i", path) })
	_, err := image.Open(ctx, path, image.Options{})
	storetest.WantError(t, err, path, "PATH: cannot be opened for writing: operation not permitted; try --read-only")
}

func TestOpenDoesNotLeakDescriptors(t *testing.T) {
	t.Chdir(t.TempDir())
	os.WriteFile("empty.img", nil, 0o644)
	count := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	before := count()
	for range 20 {
		image.Open(ctx, "empty.img", image.Options{})
		image.Open(ctx, "empty.img", image.Options{Create: 5})
		if s, err := image.Open(ctx, "new.img", image.Options{Create: 4096}); err != nil {
			t.Error(err)
		} else {
			image.Open(ctx, "new.img", image.Options{})
			s.Close()
		}
	}
	if after := count(); after != before {
		t.Errorf("%d open descriptors, were %d", after, before)
	}
}

// A new image is locked before it has its size. Otherwise another process could
// lock it first, and Open would fail and remove it.
func TestNewImageIsLockedByItsCreator(t *testing.T) {
	path := filepath.Join(storetest.MemDir(t), "new.img")
	for range 1000 {
		var wg sync.WaitGroup
		wg.Go(func() {
			fd, err := -1, error(unix.ENOENT)
			for err == unix.ENOENT {
				fd, err = unix.Open(path, unix.O_RDONLY, 0)
			}
			defer unix.Close(fd)
			var st unix.Stat_t
			for end := time.Now().Add(time.Second); st.Size == 0 && time.Now().Before(end); {
				unix.Fstat(fd, &st)
			}
			readers := unix.Flock_t{Type: unix.F_RDLCK, Start: 200, Len: 4}
			unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &readers)
		})
		s, err := image.Open(ctx, path, image.Options{Create: 4096})
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		os.Remove(path)
	}
}
