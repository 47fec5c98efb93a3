package remote

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/e2e/weblab"
)

// startNginx starts nginx with this in its server block, and a file disk.img of
// this size, whose contents it returns.
func startNginx(t testing.TB, server string, size int) (*weblab.Nginx, []byte) {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		storetest.Missing(t, "nginx", err)
	}
	n, err := weblab.StartNginx(storetest.TempDir(t, ""), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	return n, writeDisk(t, n, size)
}

// writeDisk gives nginx a new disk.img.
func writeDisk(t testing.TB, n *weblab.Nginx, size int) []byte {
	t.Helper()
	p := noise(size)
	if err := os.WriteFile(n.Path("new"), p, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(n.Path("new"), n.Path("disk.img")); err != nil {
		t.Fatal(err)
	}
	return p
}

func noise(size int) []byte {
	p := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(size), byte(time.Now().UnixNano())})
	src.Read(p)
	return p
}

// startLine starts a line to an address.
func startLine(t testing.TB, addr string, roundTrip time.Duration, rate int64) *weblab.Line {
	t.Helper()
	l, err := weblab.NewLine(addr, roundTrip, rate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// openURL opens a URL with 64 MiB of memory, and closes it when the test ends.
func openURL(t testing.TB, url string, o Options) *File {
	t.Helper()
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	f, err := Open(context.Background(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !f.closed.Load() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return f
}

// refused returns the error of opening a URL.
func refused(t testing.TB, url string, o Options) error {
	t.Helper()
	f, err := Open(context.Background(), url, o)
	if err == nil {
		f.Close()
		t.Fatalf("%s can be opened", url)
	}
	return err
}

// holds compares n bytes at off.
func holds(t testing.TB, f *File, want []byte, off, n int64) {
	t.Helper()
	got := make([]byte, n)
	if _, err := f.ReadAt(got, off); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want[off:off+n]) {
		t.Fatalf("the %d bytes at %d differ", n, off)
	}
}

func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// requests returns the number of requests that nginx has answered.
func requests(t testing.TB, n *weblab.Nginx) int {
	t.Helper()
	text, err := os.ReadFile(n.Dir + "/access.log")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

// nobody returns an address on which nobody listens.
func nobody(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// makeSparse makes a file of zeros.
func makeSparse(t testing.TB, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}
