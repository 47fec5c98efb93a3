package serve

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/serve/control"
)

// A file keeps its identity under any path, and while it is written. Another file
// has another one, even at the same path and with the inode of one that is gone.
func TestFileIDIsThatOfTheFile(t *testing.T) {
	for _, base := range []string{t.TempDir(), "/dev/shm"} {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Skip(err)
		}
		defer os.RemoveAll(dir)
		path, moved := filepath.Join(dir, "a.img"), filepath.Join(dir, "b.img")
		id := func(path string) string {
			t.Helper()
			id, err := pathID(path)
			if err != nil || id == "" {
				t.Fatalf("%q, %v", id, err)
			}
			return id
		}
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("1")
		first := id(path)
		write("22")
		if err := os.Rename(path, moved); err != nil {
			t.Fatal(err)
		}
		if now := id(moved); now != first {
			t.Errorf("%s: %s, moved %s", dir, first, now)
		}
		for range 20 { // the inode is likely to be used again
			if err := os.Remove(moved); err != nil {
				t.Fatal(err)
			}
			write("22")
			if now := id(path); now == first {
				t.Fatalf("%s: another file has the identity %s", dir, now)
			}
			if err := os.Rename(path, moved); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Only what survives the process can be adopted.
func TestTemporaryWritesAreNotAdopted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for writes, want := range map[control.Writes]bool{
		control.InPlace: true, control.Refused: true, control.Temporary: false,
	} {
		img := &openedImage{abs: path, blockSize: 512, writes: writes}
		text := img.contents("")
		if !img.isOf(text) || keepsWrites(text) != want {
			t.Errorf("%s: keepsWrites(%q) = %v", writes, text, !want)
		}
		if other := img.contents("removable"); other == text {
			t.Errorf("a removable disk is %q too", other)
		}
	}
	if keepsWrites("") {
		t.Error("what cannot be identified is adopted")
	}
}

// The version on the server counts, and the signature in the URL does not.
func TestImageAtAURLIsIdentifiedByItsVersion(t *testing.T) {
	tag := "1"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", strconv.Quote(tag))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, 8192)))
	}))
	defer server.Close()
	contents := func(url string) string {
		t.Helper()
		base, err := image.Open(t.Context(), url, image.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		img := &openedImage{abs: image.Name(url), blockSize: 512, writes: control.Refused, base: base}
		text := img.contents("")
		if !img.isOf(text) || !keepsWrites(text) || !strings.HasPrefix(text, "url=") || strings.Contains(text, "s3cr3t") {
			t.Errorf("the contents are %q", text)
		}
		return text
	}
	first := contents(server.URL + "/a?X-Amz-Signature=s3cr3t")
	if again := contents(server.URL + "/a"); again != first {
		t.Errorf("%q without a query, not %q", again, first)
	}
	if other := contents(server.URL + "/b"); other == first {
		t.Error("another image has the same contents")
	}
	if other := contents(server.URL + "/a?file=s3cr3t"); other == first {
		t.Error("another query has the same contents")
	}
	tag = "2"
	if changed := contents(server.URL + "/a"); changed == first {
		t.Error("another version has the same contents")
	}
}

// Without a validator any image may be at a URL, so its disk is never taken for
// another.
func TestImageWithoutAVersionIsNotIdentified(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, 8192)))
	}))
	defer server.Close()
	base, err := image.Open(t.Context(), server.URL+"/a", image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	img := &openedImage{abs: server.URL + "/a", blockSize: 512, writes: control.Refused, base: base}
	if text := img.contents(""); text != "" || img.isOf("url= block=512") {
		t.Errorf("the contents are %q", text)
	}
}

// A chain is identified by all its files.
func TestBackingFilesIdentifyADisk(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{
		{"qemu-img", "create", "-q", "-f", "raw", "a", "1M"},
		{"qemu-img", "create", "-q", "-f", "raw", "b", "1M"},
		{"qemu-img", "create", "-q", "-f", "qcow2", "-b", "a", "-F", "raw", "top"},
	} {
		storetest.Command(t, args[0], args[1:]...)
	}
	contents := func(backing string) string {
		base, err := image.Open(t.Context(), "top", image.Options{Backing: []string{backing}})
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		img := &openedImage{abs: "top", backing: []string{backing}, blockSize: 512, writes: control.Refused, base: base}
		return img.contents("")
	}
	first := contents("a")
	if again := contents("./a"); again != first || !strings.Contains(first, " backing=") {
		t.Errorf("%q, then %q", first, again)
	}
	if other := contents("b"); other == first {
		t.Error("with another backing file it is the same disk")
	}
}
