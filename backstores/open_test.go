package backstores_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

func TestOpenTellsWhatToType(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // so that the messages are as short as a user's
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
		o    backstores.Options
		want string
	}{
		{"", backstores.Options{}, "no image given; try lunserve disk.img"},
		{"missing.img", backstores.Options{},
			"missing.img: no such file or directory; try lunserve --size 10G missing.img to make one"},
		{"missing.img", backstores.Options{ReadOnly: true},
			"missing.img: no such file or directory; try lunserve --size 10G missing.img to make one"},
		{"missing.img", backstores.Options{ReadOnly: true, Create: gib},
			"missing.img: no such file or directory; try lunserve --size 10G missing.img to make one"},
		{"Bob's disk.img", backstores.Options{},
			`Bob's disk.img: no such file or directory; try lunserve --size 10G 'Bob'\''s disk.img' to make one`},
		{"-r.img", backstores.Options{},
			"-r.img: no such file or directory; try lunserve --size 10G ./-r.img to make one"},
		{"no/disk.img", backstores.Options{Create: gib}, "no/disk.img: no such file or directory; try mkdir -p no"},
		{"full.img/disk.img", backstores.Options{}, "full.img/disk.img: not a directory"},
		{"images", backstores.Options{}, "images: is a directory, not an image; try ls images to find one"},
		{"images", backstores.Options{ReadOnly: true}, "images: is a directory, not an image; try ls images to find one"},
		{"pipe", backstores.Options{ReadOnly: true}, "pipe: is a pipe, which has no random access; try cat pipe >disk.img"},
		{"socket", backstores.Options{}, "socket: is neither a file nor a block device"},
		{"/dev/null", backstores.Options{},
			"/dev/null: is a character device, not an image; try lsblk to find a block device"},
		{"empty.img", backstores.Options{}, "empty.img: is empty; try truncate -s 10G empty.img"},
		{"empty.img", backstores.Options{ReadOnly: true}, "empty.img: is empty; try truncate -s 10G empty.img"},
		{"empty.img", backstores.Options{Create: gib}, "empty.img: exists and is empty; try truncate -s 1073741824 empty.img"},
		{"full.img", backstores.Options{Create: gib},
			"full.img: exists and has 4096 bytes, not 1073741824; try lunserve full.img to serve it as it is"},
	} {
		s, err := backstores.Open(tt.path, tt.o)
		wantError(t, err, tt.path, tt.want)
		if s != nil {
			t.Errorf("Open(%q) returned a store with its error", tt.path)
		}
	}
	if _, err := os.Stat("missing.img"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("an image was made that nobody asked for")
	}
	for name, want := range map[string]int64{"empty.img": 0, "full.img": 4096} {
		if st, err := os.Stat(name); err != nil || st.Size() != want {
			t.Errorf("Open changed the size of %s", name)
		}
	}
}

func TestOpenMakesASparseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.img")
	s := openAs(t, path, backstores.Options{Create: 10 << 30})
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
	if s := openAs(t, path, backstores.Options{Create: 10 << 30}); s.Size() != 10<<30 {
		t.Errorf("opened again: %d bytes", s.Size())
	}
}

func TestFailedOpenLeavesNoNewFile(t *testing.T) {
	path := filepath.Join(tempDir(t, "/var/tmp"), "new.img")
	s, err := backstores.Open(path, backstores.Options{Create: 1<<63 - 1})
	if err == nil {
		t.Logf("%s bears a file of any size; nothing fails there", filepath.Dir(path))
		s.Close()
		return
	}
	wantError(t, err, path, "PATH: make a file of 9223372036854775807 bytes: file too large")
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there (%v)", err)
	}
}

// asNobody runs f without the powers of root over files.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.SetfsuidRetUid(65534)
	defer unix.SetfsuidRetUid(0)
	f()
}

func TestOpenSuggestsReadOnly(t *testing.T) {
	dir := tempDir(t, "/var/tmp")
	path := newFile(t, dir, 4096)
	for file, mode := range map[string]os.FileMode{dir: 0o755, path: 0o444} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		_, err := backstores.Open(path, backstores.Options{})
		wantError(t, err, path, "PATH: cannot be opened for writing: permission denied; try lunserve -r PATH")
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v is no ErrPermission", err)
		}
		openAs(t, path, backstores.Options{ReadOnly: true})
	})
}

func TestOpenOnReadOnlyFileSystem(t *testing.T) {
	dir := mount(t, "none", "tmpfs", 0, "size=1m")
	path := newFile(t, dir, 4096)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := backstores.Open(path, backstores.Options{})
	wantError(t, err, path, "PATH: cannot be opened for writing: read-only file system; try lunserve -r PATH")
	path = filepath.Join(dir, "new.img")
	_, err = backstores.Open(path, backstores.Options{Create: 4096})
	wantError(t, err, path, "PATH: cannot be opened for writing: read-only file system")
}

func TestOpenImmutableFile(t *testing.T) {
	needRoot(t)
	path := newFile(t, tempDir(t, "/var/tmp"), 4096)
	run(t, "chattr", "+i", path)
	t.Cleanup(func() { run(t, "chattr", "-i", path) })
	_, err := backstores.Open(path, backstores.Options{})
	wantError(t, err, path, "PATH: cannot be opened for writing: operation not permitted; try lunserve -r PATH")
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
		backstores.Open("empty.img", backstores.Options{})
		backstores.Open("empty.img", backstores.Options{Create: 5})
		if s, err := backstores.Open("new.img", backstores.Options{Create: 4096}); err != nil {
			t.Error(err)
		} else {
			backstores.Open("new.img", backstores.Options{})
			s.Close()
		}
	}
	if after := count(); after != before {
		t.Errorf("%d open descriptors, were %d", after, before)
	}
}

// Whoever finds a new file that has its size is too late to lock it: the one that
// makes it would fail, and take it away.
func TestNewImageIsOfWhoMakesIt(t *testing.T) {
	path := filepath.Join(tempDir(t, "/dev/shm"), "new.img") // where a sync takes no time
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
		s, err := backstores.Open(path, backstores.Options{Create: 4096})
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		os.Remove(path)
	}
}
