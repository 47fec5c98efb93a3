package image_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/e2e/weblab"
	"github.com/lunserve/lunserve/hint"
)

// startQcow2 starts nginx with images of QEMU.
func startQcow2(t *testing.T) *weblab.Nginx {
	t.Helper()
	for _, program := range []string{"nginx", "qemu-img"} {
		if _, err := exec.LookPath(program); err != nil {
			storetest.Missing(t, program, err)
		}
	}
	n, err := weblab.StartNginx(storetest.TempDir(t, ""), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	write(t, n.Path("disk.img"), storetest.Contents(9<<20))
	shell(t, n.Path(""), `
		make() { qemu-img convert -f raw -O qcow2 "$@"; }
		make disk.img plain.qcow2
		make -c disk.img zlib.qcow2
		make -c -o compression_type=zstd disk.img zstd.qcow2
		make -o cluster_size=2M disk.img large.qcow2
		make -c -o extended_l2=on disk.img over.qcow2
		qemu-io -f qcow2 -c 'write -q -P 7 100k 200k' -c 'write -q -z 1M 2k' -c 'discard -q 3M 1M' over.qcow2
		qemu-img create -q -f qcow2 -b disk.img -F raw middle.qcow2
		qemu-io -f qcow2 -c 'write -q -P 1 64k 100k' middle.qcow2
		qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2 10M
		qemu-io -f qcow2 -c 'write -q -P 2 128k 100k' -c 'write -q -z 512k 64k' top.qcow2`)
	return n
}

// Wherever the files of a chain are, the disk is what QEMU reads.
func TestQcow2AtAURLHoldsWhatQEMUReads(t *testing.T) {
	n := startQcow2(t)
	url, file := func(name string) string { return n.URL(name) + secret }, n.Path
	for _, chain := range [][]string{
		{url("plain.qcow2")},
		{url("zlib.qcow2")},
		{url("zstd.qcow2")},
		{url("over.qcow2")},
		{url("top.qcow2"), url("middle.qcow2"), url("disk.img")},
		{url("top.qcow2"), file("middle.qcow2"), url("disk.img")},
		{file("top.qcow2"), url("middle.qcow2"), file("disk.img")},
	} {
		name := filepath.Base(image.Name(chain[0]))
		want := converted(t, n.Path(name))
		servers := 0
		for _, c := range chain {
			if image.IsURL(c) {
				servers++
			}
		}
		o, told := notices(t)
		o.Backing = chain[1:]
		s := open(t, chain[0], o)
		storetest.Holds(t, s, want)
		if got := image.Describe(s); !strings.HasPrefix(got, "qcow2, clusters of ") {
			t.Errorf("%s is %s", name, got)
		}
		if _, at := image.RemoteID(s); at != image.IsURL(chain[0]) {
			t.Errorf("%s: it has an ID: %v", name, at)
		}
		depth := 0
		for b := image.Backing(s); b != nil; b = image.Backing(b) {
			depth++
			if id, at := image.RemoteID(b); at != image.IsURL(chain[depth]) {
				t.Errorf("%s: backing file %d has the ID %q", name, depth, id)
			}
		}
		if depth != len(chain)-1 {
			t.Errorf("%s has %d backing files", name, depth)
		}

		info, store, err := image.Inspect(ctx, chain[0], o)
		if err != nil || strings.Contains(info.Serve, "s3cr3t") || strings.Count(info.Serve, " URL") != servers {
			t.Fatalf("%s: %+v, %v", name, info, err)
		}
		storetest.Holds(t, store, want)
		store.Close()
		var out sparseBuffer
		if size, err := image.Unpack(ctx, chain[0], &out, o); err != nil || !bytes.Equal(out.bytes(size), want) {
			t.Errorf("%s: unpacked %d bytes, %v", name, size, err)
		}
		check, err := image.CheckOpen(ctx, chain[0], o)
		if err != nil || len(check.Server) < 3*servers {
			t.Errorf("%s: %+v, %v", name, check, err)
		}
		if text := told(); text != "" {
			t.Errorf("%s: told is %q", name, text)
		}
	}

	// Writes are kept in an overlay that QEMU cannot take for one of its own.
	over := filepath.Join(t.TempDir(), "over")
	base := open(t, url("zlib.qcow2"), reading)
	s, _, err := image.OpenOverlay(ctx, over, base, image.Name(url("zlib.qcow2")), false)
	if err != nil {
		t.Fatal(err)
	}
	want := converted(t, n.Path("zlib.qcow2"))
	copy(want[123_000:], "changed")
	if err := backstores.WriteVec(s, [][]byte{want[123_000:123_007]}, 123_000, 0); err != nil {
		t.Fatal(err)
	}
	storetest.Holds(t, s, want)
	if format := storetest.Command(t, "qemu-img", "info", "-U", over); !strings.Contains(format, "backing file format: lunserve") {
		t.Errorf("%s", format)
	}
}

// The errors are those of files, and have neither secrets nor commands that read
// from a server.
func TestQcow2AtAURLThatIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	n := startQcow2(t)
	shell(t, n.Path(""), `
		head -c 100k plain.qcow2 >short.qcow2
		qemu-img create -q -f qcow2 -o data_file=data data.qcow2 1M`)
	write(t, "disk.img", storetest.Contents(1<<20))
	if err := openOverlay(t, n.Path("changes"), "disk.img").Close(); err != nil {
		t.Fatal(err)
	}
	at := "http://" + n.Addr + "/"
	for _, tt := range []struct{ path, backing, want string }{
		{"short.qcow2", "", at + "short.qcow2: is cut short: it has 102400 bytes, and its L1 table is at 196608; try curl -fL -o short.qcow2 URL"},
		{"data.qcow2", "", at + "data.qcow2: its data is in another file; try curl -fL -o data.qcow2 URL"},
		{"changes", "", at + "changes: is an overlay"},
		{"top.qcow2", "", at + "top.qcow2: needs its backing file, which it calls middle.qcow2; try --backing FILE"},
		{"top.qcow2", n.URL("nosuch") + secret, at + "nosuch: the server answers 404 Not Found"},
		{"top.qcow2", n.URL("middle.qcow2") + secret, at + "middle.qcow2: needs its backing file, which it calls disk.img; try --backing FILE"},
		{"top.qcow2", "dsik.img", "dsik.img: no such file or directory; did you mean disk.img?"},
		{"middle.qcow2", n.URL("plain.qcow2") + secret, at + "plain.qcow2: is a qcow2 file, and " + at + "middle.qcow2 says that its backing file is in the format raw"},
		{"plain.qcow2", n.URL("disk.img") + secret, at + "plain.qcow2: has no backing file; leave out --backing"},
		{"disk.img", n.URL("disk.img") + secret, at + "disk.img: is a raw image, which has no backing file; leave out --backing"},
	} {
		o, _ := notices(t)
		if tt.backing != "" {
			o.Backing = []string{tt.backing}
		}
		s, err := image.Open(ctx, n.URL(tt.path)+secret, o)
		if err == nil {
			s.Close()
			t.Errorf("%s can be opened", tt.path)
			continue
		}
		if text := hint.Text(err); !strings.HasPrefix(text, tt.want) || strings.Contains(text, "s3cr3t") {
			t.Errorf("%s\nwant %s", text, tt.want)
		}
	}

	// The memory that an error asks for is enough.
	o := image.Options{CacheSize: 1 << 20}
	_, err := image.Open(ctx, n.URL("large.qcow2"), o)
	_, try := hint.Split(err)
	if len(try) != 1 || len(try[0].Words) != 2 || try[0].Words[1] != "64M" {
		t.Fatalf("%v, %+v", err, try)
	}
	o.CacheSize = 64 << 20
	storetest.Holds(t, open(t, n.URL("large.qcow2"), o), converted(t, n.Path("large.qcow2")))
}

// Decoding ahead waits for the server, which is silent from the middle of the file on.
// To close an image does not wait.
func TestImageOfASilentServerIsClosedAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(12 << 20)
	for i := range disk {
		disk[i] &= 15 // clusters that do not get smaller are not compressed
	}
	write(t, "disk.img", disk)
	packFile(t, "disk.img.zst", disk, 64<<10)
	storetest.Command(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "disk.img", "disk.qcow2")
	for _, name := range []string{"disk.img.zst", "disk.qcow2"} {
		end, waiting := make(chan struct{}), make(chan struct{}, 1000)
		var silent atomic.Bool
		file := storetest.ReadFile(t, name)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var from, last int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &last)
			if last = min(last, len(file)-1); silent.Load() && last >= len(file)/2 {
				w.Header().Set("ETag", `"1"`)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, last, len(file)))
				w.Header().Set("Content-Length", fmt.Sprint(last-from+1))
				w.WriteHeader(http.StatusPartialContent)
				w.Write(file[from:max(from, len(file)/2)])
				w.(http.Flusher).Flush()
				waiting <- struct{}{}
				<-end
				return
			}
			w.Header().Set("ETag", `"1"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
		}))
		s, err := image.Open(ctx, server.URL+"/"+name, image.Options{})
		if err != nil {
			t.Fatal(err)
		}
		silent.Store(true)
		p := make([]byte, 64<<10)
		for off := int64(0); off < 11<<19; off += int64(len(p)) { // 1 MiB more is decoded ahead
			if err := backstores.ReadVec(s, [][]byte{p}, off, 0); err != nil {
				t.Fatal(err)
			}
		}
		<-waiting
		time.Sleep(100 * time.Millisecond) // until a decoder waits as well; without, this test finds less
		closed := make(chan error)
		go func() { closed <- s.Close() }()
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second): // the server has 30
			t.Errorf("%s: Close waits for the server", name)
		}
		close(end)
		server.Close()
	}
}
