package remote

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

const diskBytes = 3<<20 + 1234

func cacheFiles(t *testing.T, dir, end string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"+end))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSecondStartReadsNothingOverTheNetwork(t *testing.T) {
	n, want := startNginx(t, "", diskBytes)
	line := startLine(t, n.Addr, 0, 0)
	url := "http://" + line.Addr() + "/disk.img"
	dir := filepath.Join(t.TempDir(), "new")
	f := openURL(t, url, Options{CacheDir: dir, CacheLimit: 1 << 30})
	holds(t, f, want, 0, diskBytes)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	before := line.Bytes.Load()
	f = openURL(t, url+"?X-Amz-Signature=another", Options{CacheDir: dir, CacheLimit: 1 << 30})
	holds(t, f, want, 0, diskBytes)
	if sent := line.Bytes.Load() - before; sent > 1000 {
		t.Errorf("%d bytes were sent again", sent)
	}
}

// A power cut leaves any of the last writes undone. Other damage is no different.
func TestDamagedCacheIsReadAgain(t *testing.T) {
	n, want := startNginx(t, "", diskBytes)
	dir := t.TempDir()
	f := openURL(t, n.URL("disk.img"), Options{CacheDir: dir, CacheLimit: 1 << 30})
	holds(t, f, want, 0, diskBytes)
	f.Close()
	data, index := cacheFiles(t, dir, dataEnd)[0], cacheFiles(t, dir, indexEnd)[0]
	damage := func(name string, p []byte, off int64) {
		d, err := os.OpenFile(name, os.O_RDWR, 0)
		if err == nil {
			_, err = d.WriteAt(p, off)
			err = firstOf(err, d.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	damage(data, make([]byte, 3*blockBytes), 5*blockBytes)
	damage(index, make([]byte, 24), 20*sumBytes)
	damage(index, noise(16), 40*sumBytes)
	if err := os.Truncate(data, diskBytes-5000); err != nil {
		t.Fatal(err)
	}
	f = openURL(t, n.URL("disk.img"), Options{CacheDir: dir, CacheLimit: 1 << 30})
	holds(t, f, want, 0, diskBytes)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestNewVersionDoesNotUseTheCacheOfTheOld(t *testing.T) {
	n, want := startNginx(t, "", diskBytes)
	dir := t.TempDir()
	o := Options{CacheDir: dir, CacheLimit: 1 << 30}
	f := openURL(t, n.URL("disk.img"), o)
	holds(t, f, want, 0, diskBytes)
	f.Close()
	want = writeDisk(t, n, diskBytes)
	os.Chtimes(n.Path("disk.img"), f.version.time().AddDate(1, 0, 0), f.version.time().AddDate(1, 0, 0))
	f = openURL(t, n.URL("disk.img"), o)
	holds(t, f, want, 0, diskBytes)
}

// Two images of the same length at a server that says nothing of their versions
// are not told apart, so neither is kept.
func TestImageWithoutAVersionIsNotKept(t *testing.T) {
	n, want := startNginx(t, `etag off; add_header Last-Modified "";`, diskBytes)
	dir := t.TempDir()
	var told []string
	o := Options{CacheDir: dir, CacheLimit: 1 << 30, Notice: func(err error) { told = append(told, err.Error()) }}
	f := openURL(t, n.URL("disk.img?file=a"), o)
	holds(t, f, want, 0, diskBytes)
	f.Close()
	want = writeDisk(t, n, diskBytes)
	holds(t, openURL(t, n.URL("disk.img?file=b"), o), want, 0, diskBytes)
	if all := cacheFiles(t, dir, ""); len(all) > 0 {
		t.Errorf("the folder has %q", all)
	}
	if len(told) != 2 || !strings.HasSuffix(told[0], "and nothing of it is kept in --cache-dir") {
		t.Errorf("told is %q", told)
	}
}

func TestProcessesShareACache(t *testing.T) {
	n, want := startNginx(t, "", diskBytes)
	dir := t.TempDir()
	o := Options{CacheDir: dir, CacheLimit: 1 << 30}
	a, b := openURL(t, n.URL("disk.img"), o), openURL(t, n.URL("disk.img"), o)
	holds(t, a, want, 2<<20, 1<<20)
	before := requests(t, n)
	holds(t, b, want, 2<<20, 1<<20)
	if n := requests(t, n); n != before {
		t.Errorf("the second asked %d times for what the first has", n-before)
	}
}

func TestCacheKeepsToItsLimit(t *testing.T) {
	const limit = 4 << 20
	n, want := startNginx(t, "", diskBytes)
	os.Link(n.Path("disk.img"), n.Path("two"))
	os.Link(n.Path("disk.img"), n.Path("three"))
	dir := t.TempDir()
	for _, name := range []string{"disk.img", "two", "three"} {
		f := openURL(t, n.URL(name), Options{CacheDir: dir, CacheLimit: limit})
		holds(t, f, want, 0, diskBytes)
		f.Close()
		c, err := openCacheDir(dir, limit)
		if err != nil {
			t.Fatal(err)
		}
		used := limit
		all, _ := c.list()
		for _, k := range all {
			used -= int(k.bytes)
		}
		c.root.Close()
		if used < 0 {
			t.Errorf("after %s the cache is %d bytes over its limit", name, -used)
		}
	}
	if all := cacheFiles(t, dir, dataEnd); len(all) > 2 {
		t.Errorf("%d images are kept", len(all))
	}
	f := openURL(t, n.URL("disk.img"), Options{CacheDir: dir, CacheLimit: 100 << 10})
	holds(t, f, want, 0, diskBytes)
}

// The files that a process uses are not removed, also if they are about to be when it
// opens them.
func TestCacheInUseIsNotRemoved(t *testing.T) {
	dir := t.TempDir()
	folder := func() *cacheDir {
		c, err := openCacheDir(dir, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	remover := folder()
	defer remover.root.Close()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				remover.remove(kept{name: short("n") + "-" + short("id")})
			}
		})
	}
	for range 2000 {
		d, err := folder().open("n", "id")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := os.Stat(d.data.Name()); err != nil {
				t.Errorf("a file in use is gone: %v", err)
			}
		}
		if err := d.close(); err != nil || t.Failed() {
			t.Error(err)
			break
		}
	}
	stop.Store(true)
	wg.Wait()
}

// What a removal leaves that was interrupted counts, and is removed later.
func TestHalfOfAKeptImageIsRemoved(t *testing.T) {
	for _, end := range []string{dataEnd, indexEnd} {
		dir := t.TempDir()
		c, err := openCacheDir(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer c.root.Close()
		if err := os.WriteFile(filepath.Join(dir, "a-b"+end), noise(2<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if left := c.room(); left != 1<<20 || len(cacheFiles(t, dir, "")) > 0 {
			t.Errorf("%s: %d bytes are left, and %q", end, left, cacheFiles(t, dir, ""))
		}
	}
}

func TestForeignCacheIsNotTrusted(t *testing.T) {
	n, want := startNginx(t, "", diskBytes)
	dir := t.TempDir()
	o := Options{CacheDir: dir, CacheLimit: 1 << 30}
	f := openURL(t, n.URL("disk.img"), o)
	holds(t, f, want, 0, diskBytes)
	f.Close()
	data := cacheFiles(t, dir, dataEnd)[0]
	link := filepath.Join(t.TempDir(), "link")
	os.Symlink(dir, link)
	for _, tt := range []struct {
		do, undo func() error
		dir      string
		want     string
	}{
		{func() error { return nil }, func() error { return nil }, link, "symbolic link"},
		{func() error { return os.Chmod(dir, 0o777) }, func() error { return os.Chmod(dir, 0o700) }, dir, "others may write it"},
		{func() error { return os.Chown(dir, 12345, 0) }, func() error { return os.Chown(dir, 0, 0) }, dir, "belongs to another user"},
		{func() error { return os.Chmod(data, 0o666) }, func() error { return os.Chmod(data, 0o600) }, dir, "only this user can have written"},
		{func() error { return os.Rename(data, data+"x") }, func() error { return os.Rename(data+"x", data) }, dir, ""},
		{func() error { os.Remove(data); return os.Symlink("/etc/passwd", data) }, func() error { return os.Remove(data) }, dir, "path escapes from parent"},
		{func() error { return unix.Mkfifo(data, 0o600) }, func() error { return os.Remove(data) }, dir, "only this user can have written"},
	} {
		if err := tt.do(); err != nil {
			if os.Geteuid() != 0 {
				continue
			}
			t.Fatal(err)
		}
		o.CacheDir = tt.dir
		if tt.want != "" {
			wantError(t, refused(t, n.URL("disk.img"), o), tt.want)
		} else {
			holds(t, openURL(t, n.URL("disk.img"), o), want, 0, diskBytes)
		}
		if err := tt.undo(); err != nil {
			t.Fatal(err)
		}
	}
}
