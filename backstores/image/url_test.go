package image_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/e2e/weblab"
	"github.com/lunserve/lunserve/hint"
)

// secret is a query that must not get into any message.
const secret = "?X-Secret=s3cr3t"

// startNginx starts nginx with a disk in several formats, and returns what is on
// the disk.
func startNginx(t *testing.T) (*weblab.Nginx, []byte) {
	t.Helper()
	for _, program := range []string{"nginx", "zstd", "img2simg"} {
		if _, err := exec.LookPath(program); err != nil {
			storetest.Missing(t, program, err)
		}
	}
	n, err := weblab.StartNginx(storetest.TempDir(t, ""), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	disk := storetest.Contents(9 << 20)
	write(t, n.Path("disk.img"), disk)
	packFile(t, n.Path("disk.img.zst"), disk, 128<<10)
	shell(t, n.Path(""), "zstd -q disk.img -o frame.zst && img2simg disk.img disk.simg && zstd -q --no-content-size -c <disk.img >stream.zst && "+
		"for i in 0 1 2 3 4 5 6 7 8; do dd if=disk.img bs=1M skip=$i count=1 status=none | zstd -q --no-check; done >frames.zst && echo '<html>' >page")
	return n, disk
}

// notices returns options that collect what is told, without secrets.
func notices(t *testing.T) (o image.Options, told func() string) {
	var all []string
	o.TempDir, o.CacheSize = t.TempDir(), 32<<20
	o.Notice = func(err error) { all = append(all, hint.Text(err)) }
	return o, func() string {
		text := strings.Join(all, "\n")
		if strings.Contains(text, "s3cr3t") {
			t.Errorf("told is %s", text)
		}
		return text
	}
}

func TestImagesAtURLsHoldWhatTheirFilesHold(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	n, disk := startNginx(t)
	for name, want := range map[string]struct{ is, told string }{
		"disk.img":     {"raw", ""},
		"disk.img.zst": {"zstd, 72 frames of 128 KiB", ""},
		"frames.zst":   {"zstd, 9 frames of 1.0 MiB", "/frames.zst: its frames do not give their sizes"},
		"disk.simg":    {"simg", ""},
		"frame.zst":    {"zstd, one frame", "/frame.zst: is a single frame"},
		"stream.zst":   {"zstd, one frame", "/stream.zst: is a single frame"},
	} {
		o, told := notices(t)
		s := open(t, n.URL(name)+secret, o)
		storetest.Holds(t, s, disk)
		if got := image.Describe(s); !strings.HasPrefix(got, want.is) {
			t.Errorf("%s is %s", name, got)
		}
		if text := told(); !strings.Contains(text, want.told) || want.told == "" && text != "" {
			t.Errorf("%s: told is %q", name, text)
		}
		if id, remote := image.RemoteID(s); !remote || !strings.HasPrefix(id, "url=") || strings.Contains(id, " ") {
			t.Errorf("%s: the ID is %q", name, id)
		}

		if name == "frames.zst" { // its index was saved
			o, told := notices(t)
			if storetest.Holds(t, open(t, n.URL(name)+secret, o), disk); told() != "" {
				t.Errorf("%s: told again is %q", name, told())
			}
		}

		info, store, err := image.Inspect(ctx, n.URL(name)+secret, o)
		if err != nil || info.Serve != "lunserve URL" || strings.Contains(info.Pack, "s3cr3t") {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if store != nil {
			store.Close()
		}
		var out sparseBuffer
		if size, err := image.Unpack(ctx, n.URL(name)+secret, &out, o); err != nil || !bytes.Equal(out.bytes(size), disk) {
			t.Errorf("%s: unpacked %d bytes, %v", name, size, err)
		}
		check, err := image.CheckOpen(ctx, n.URL(name)+secret, o)
		if err != nil || len(check.Server) < 3 {
			t.Errorf("%s: %+v, %v", name, check, err)
		}
	}
}

// What is refused as a file is refused at a URL, with the command that downloads it.
func TestURLErrorsSayWhatToTypeWithoutSecrets(t *testing.T) {
	t.Chdir(t.TempDir())
	n, _ := startNginx(t)
	for name, want := range map[string]string{
		"page":                     "/page: is a web page",
		"nosuch":                   "/nosuch: the server answers 404 Not Found",
		"disk.img as zstd":         "/disk.img: is not a zstd file; try --format auto",
		"disk.simg as zstd":        "/disk.simg: is not a zstd file; try --format auto",
		"disk.img as simg":         "Android sparse image: version",
		"disk.img as tar":          "/disk.img: unknown format \"tar\"; try --format auto",
		"disk.img.zst with --size": "is a URL, and --size makes files",
	} {
		name, as, _ := strings.Cut(name, " as ")
		name, size, _ := strings.Cut(name, " with ")
		o, _ := notices(t)
		o.Format = as
		if size != "" {
			o.Create = 1 << 20
		}
		s, err := image.Open(ctx, n.URL(name)+secret, o)
		if err == nil {
			s.Close()
			t.Errorf("%s can be opened", name)
			continue
		}
		if text := hint.Text(err); !strings.Contains(text, want) || !strings.HasPrefix(text, "http://"+n.Addr+"/") || strings.Contains(text, "s3cr3t") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// An overlay records size, time and samples of its base. So it fits the same bytes
// at another URL, and in a file with the time of the server.
func TestOverlayFitsTheImageAtAURL(t *testing.T) {
	n, disk := startNginx(t)
	o, _ := notices(t)
	over := filepath.Join(t.TempDir(), "over")
	url := n.URL("disk.img") + secret
	lay := func(base string) (backstores.Backstore, error) {
		b, err := image.Open(ctx, base, o)
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := image.OpenOverlay(ctx, over, b, image.Name(base), false)
		if err != nil {
			b.Close()
		}
		return s, err
	}
	s, err := lay(url)
	if err != nil {
		t.Fatal(err)
	}
	change := bytes.Repeat([]byte("changed "), 1000)
	if err := backstores.WriteVec(s, [][]byte{change}, 5<<20, backstores.Durable); err != nil {
		t.Fatal(err)
	}
	copy(disk[5<<20:], change)
	storetest.Holds(t, s, disk)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{url, n.Path("disk.img"), n.URL("disk.img.zst")} {
		s, err := lay(base)
		if base == n.URL("disk.img.zst") {
			if err == nil || !strings.Contains(err.Error(), "give the image it was made over") {
				t.Errorf("over another image: %v", err)
			}
			continue
		}
		if err != nil {
			// A file has a time of more digits than Last-Modified.
			if st, _ := os.Stat(base); st == nil || !strings.Contains(err.Error(), "was changed since, or copied or restored without its time") {
				t.Fatal(err)
			}
			when := time.Now().Truncate(time.Second)
			if st, err := os.Stat(base); err == nil {
				when = st.ModTime().Truncate(time.Second)
			}
			os.Chtimes(base, when, when)
			if s, err = lay(base); err != nil {
				t.Fatal(err)
			}
		}
		storetest.Holds(t, s, disk)
		s.Close()
	}

	m := image.Merge{Base: url, Options: o}
	err = m.Commit(ctx, over)
	if text := hint.Text(err); err == nil || !strings.Contains(text, "cannot be written; try lunserve commit --base URL "+over+" -o ") {
		t.Errorf("commit: %s", text)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := m.Export(ctx, over, out, false); err != nil {
		t.Fatal(err)
	}
	if got := storetest.ReadFile(t, out); !bytes.Equal(got, disk) {
		t.Error("what was merged differs")
	}
	// Nobody else's header has lunserve ask a server.
	if err := (image.Merge{Options: o}).Export(ctx, over, out+"2", false); err == nil || !strings.Contains(hint.Text(err), "which is not an absolute path; try --base IMAGE") {
		t.Errorf("without --base: %v", err)
	}
}

// To describe an image takes little of it.
func TestInspectionReadsLittle(t *testing.T) {
	n, _ := startNginx(t)
	shell(t, n.Path(""), "qemu-img convert -f raw -O qcow2 -c disk.img disk.qcow2 && qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.img disk.vmdk")
	line, err := weblab.NewLine(n.Addr, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	for _, name := range []string{"disk.img", "disk.img.zst", "disk.qcow2", "disk.vmdk"} {
		before := line.Bytes.Load()
		_, s, err := image.Inspect(ctx, "http://"+line.Addr()+"/"+name, reading)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if took := line.Bytes.Load() - before; took > 1<<20 {
			t.Errorf("%s: %d KiB", name, took>>10)
		}
	}
}

// A zstd file that was served raw is merged raw. The flag that it was served with is
// missing only by mistake, and named.
func TestOverlayOverAURLIsMergedInTheFormatThatItHad(t *testing.T) {
	n, _ := startNginx(t)
	url, dir := n.URL("disk.img.zst"), t.TempDir()
	over, out := filepath.Join(dir, "over"), filepath.Join(dir, "out")
	asRaw := image.Options{Format: image.Raw}
	base := open(t, url, asRaw)
	s, _, err := image.OpenOverlay(ctx, over, base, url, false)
	if err != nil {
		t.Fatal(err)
	}
	want := storetest.ReadFile(t, n.Path("disk.img.zst"))
	copy(want[1<<20:], "changed")
	err = backstores.WriteVec(s, [][]byte{[]byte("changed")}, 1<<20, backstores.Durable)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	err = image.Merge{Base: url}.Export(ctx, over, out, false)
	if text := hint.Text(err); err == nil || text != url+": is not read in the format that it had when "+over+" was made over it; try --format raw" {
		t.Errorf("without --format: %s", text)
	}
	if err := (image.Merge{Base: url, Options: asRaw}).Export(ctx, over, out, false); err != nil {
		t.Fatal(err)
	}
	if got := storetest.ReadFile(t, out); !bytes.Equal(got, want) {
		t.Error("what was merged differs")
	}
}

// Where the server tells no time, the ETag tells that the base was replaced, although
// its samples and its length are the same.
func TestOverlayKnowsItsBaseByTheETag(t *testing.T) {
	tag := `"1"`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, 8<<20)))
	}))
	defer server.Close()
	over := filepath.Join(t.TempDir(), "over")
	lay := func() error {
		b := open(t, server.URL+"/disk.img", image.Options{})
		s, _, err := image.OpenOverlay(ctx, over, b, server.URL+"/disk.img", false)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	for range 2 {
		if err := lay(); err != nil {
			t.Fatal(err)
		}
	}
	tag = `"2"`
	storetest.WantError(t, lay(), server.URL+"/disk.img", "PATH: is not the image that "+over+" was made over, or has changed since")
}
