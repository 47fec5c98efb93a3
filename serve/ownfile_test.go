package serve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/storetest"
)

var bothKinds = []fileKind{pidFiles, traceFiles}

// create makes an ownFile that is closed at the end of the test.
func create(t *testing.T, k fileKind, path, text string) *ownFile {
	t.Helper()
	f, err := k.create(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.close() })
	return f
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Whatever a name leads to, only an older file of the same kind is replaced.
func TestOwnFileReplacesOnlyItsKind(t *testing.T) {
	const notIts, link = "PATH: exists, and is not a ", "PATH: is a symbolic link to a file; name the file itself"
	for _, k := range bothKinds {
		for name, make := range map[string]func(path string) error{
			notIts + k.name + "; name another file": func(path string) error { return os.WriteFile(path, []byte("\x00disk"), 0o644) },
			link:                                    func(path string) error { return os.Symlink("victim", path) },
			"PATH: is neither a file nor a stream":  func(path string) error { return os.Mkdir(path, 0o755) },
			"PATH: no such file or directory":       func(path string) error { return os.Symlink("nothing", path) },
		} {
			dir := t.TempDir()
			path, victim := filepath.Join(dir, "own"), filepath.Join(dir, "victim")
			put(t, victim, "")
			put(t, victim, "12\n")
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			_, err := k.create(path, []byte("34\n"))
			storetest.WantError(t, err, path, name)
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("%s: is another file now (%v)", name, err)
			}
			wantFile(t, victim, "12\n")
			if _, err := os.Lstat(filepath.Join(dir, "nothing")); err == nil {
				t.Error("a file was made behind a link")
			}
		}
		path := filepath.Join(t.TempDir(), "own")
		for _, old := range []string{"", map[string]string{"pid file": "4711\n", "trace": "   0.000123      45 µs  INQUIRY\n"}[k.name]} {
			put(t, path, old)
			reader, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			create(t, k, path, "34\n")
			wantFile(t, path, "34\n")
			if now, _ := reader.Stat(); now.Size() != int64(len(old)) {
				t.Error("the older file was truncated")
			}
			reader.Close()
		}
	}
}

func TestTraceIsPrivate(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	for _, k := range bothKinds {
		path := filepath.Join(t.TempDir(), "own")
		create(t, k, path, "")
		want := map[string]fs.FileMode{"pid file": 0o644, "trace": 0o600}[k.name]
		if st, err := os.Stat(path); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, want %v (%v)", k.name, st.Mode(), want, err)
		}
	}
}

// The pid file of a lunserve that has taken the name since is kept.
func TestPIDFileIsRemovedOnlyIfItIsOurs(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(path string) error
		left   string
	}{
		"nothing happens": {func(string) error { return nil }, ""},
		"it is removed":   {os.Remove, ""},
		"another one replaces it": {func(path string) error {
			return errors.Join(os.WriteFile(path+"2", []byte("12\n"), 0o644), os.Rename(path+"2", path))
		}, "12\n"},
		"an equal one replaces it": {func(path string) error {
			return errors.Join(os.WriteFile(path+"2", []byte("34\n"), 0o644), os.Rename(path+"2", path))
		}, "34\n"},
		"another one is written into it":  {func(path string) error { return os.WriteFile(path, []byte("12\n"), 0o644) }, "12\n"},
		"a longer one is written into it": {func(path string) error { return os.WriteFile(path, []byte("34\n5\n"), 0o644) }, "34\n5\n"},
		"a link replaces it": {func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path+"2", []byte("34\n"), 0o644), os.Symlink(path+"2", path))
		}, "34\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pid")
			f := create(t, pidFiles, path, "34\n")
			if err := tt.change(path); err != nil {
				t.Fatal(err)
			}
			if err := f.remove(); err != nil {
				t.Error(err)
			}
			if tt.left != "" {
				wantFile(t, path, tt.left)
			} else if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("is still there: %v", err)
			}
		})
	}
}

// The folder is the one that was there when the file was made, also after the
// change of the working directory by --fork.
func TestPIDFileIsRemovedByARelativePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	f := create(t, pidFiles, "pid", "34\n")
	t.Chdir("/")
	if err := f.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "pid")); !os.IsNotExist(err) {
		t.Errorf("is still there: %v", err)
	}
}

// A stream is written and stays. A link to one is followed unless another user
// may have put it there.
func TestOwnFileMayBeAStream(t *testing.T) {
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.Symlink("fifo", link)); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, path := range []string{fifo, link, "/dev/null", "/dev/stdout", "/dev/stderr"} {
		for _, k := range bothKinds {
			text := ""
			if strings.HasPrefix(path, dir) && k.once {
				text = "34\n"
			}
			f := create(t, k, path, text)
			if p := make([]byte, len(text)); text != "" {
				if n, err := reader.Read(p); string(p[:n]) != text {
					t.Errorf("%s: %q was written (%v)", path, p[:n], err)
				}
			}
			if err := f.remove(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("was removed: %v", err)
			}
		}
	}
	storetest.NeedRoot(t)
	if err := os.Lchown(link, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	_, err = pidFiles.create(link, []byte("34\n"))
	storetest.WantError(t, err, link, "PATH: is a symbolic link of another user")
}

// A reader of a FIFO gets the process ID and then the end, be it there before or
// later. Without a reader nothing waits.
func TestReaderOfAPIDFIFOComesToItsEnd(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	reader := func() {
		p, err := os.ReadFile(fifo)
		read <- fmt.Sprint(string(p), err)
	}
	wantRead := func() {
		t.Helper()
		if got := <-read; got != "34\n<nil>" {
			t.Errorf("read %q", got)
		}
	}
	go reader() // perhaps before, perhaps after
	f, err := pidFiles.create(fifo, []byte("34\n"))
	if err != nil {
		t.Fatal(err)
	}
	wantRead()
	if err := f.remove(); err != nil {
		t.Error(err)
	}

	early, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	create(t, pidFiles, fifo, "34\n")
	if p, err := io.ReadAll(early); string(p) != "34\n" || err != nil {
		t.Errorf("read %q (%v)", p, err)
	}
	early.Close()

	create(t, pidFiles, fifo, "34\n")
	go reader() // after
	wantRead()
	if f, err = pidFiles.create(fifo, []byte("34\n")); err != nil {
		t.Fatal(err)
	}
	if err := f.remove(); err != nil {
		t.Error(err)
	}

	full, err := unix.Open(fifo, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(full)
	for err == nil {
		_, err = unix.Write(full, make([]byte, 4096))
	}
	_, err = pidFiles.create(fifo, []byte("34\n"))
	storetest.WantError(t, err, fifo, "PATH: resource temporarily unavailable")
}

// Standard error that goes to a file is not truncated by --trace=/dev/stderr.
func TestTraceToStandardErrorAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	saved, err := unix.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(saved)
	unix.Dup3(int(log.Fd()), 2, 0)
	f, err := traceFiles.create("/dev/stderr", nil)
	unix.Dup3(saved, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	log.WriteString("one\n")
	f.WriteString("two\n")
	log.WriteString("three\n")
	wantFile(t, path, "one\ntwo\nthree\n")
}
