package remote

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/hint"
)

const small = 2<<20 + 100

// Each is a server that a peer reads wrongly, or not at all.
func TestServersAreReadOrRefused(t *testing.T) {
	const secret = "?X-Secret=s3cr3t"
	for _, tt := range []struct {
		name, server, want string // empty: it can be read
	}{
		{"GET alone is allowed, as for presigned URLs", `if ($request_method != GET) { return 403; }`, ""},
		{"Range is ignored", `max_ranges 0;`, "ignores Range and sends all of it"},
		{"the body is compressed for those who accept that", `gzip on; gzip_types *; gzip_min_length 1;`, ""},
		{"the body is said to be compressed", `add_header Content-Encoding gzip;`, "sends it encoded"},
		{"a strong ETag", ``, ""},
		{"a weak ETag", `etag off; add_header ETag 'W/"1"';`, ""},
		{"Last-Modified alone", `etag off;`, ""},
		{"neither", `etag off; add_header Last-Modified "";`, ""},
		{"a redirect", `location = /disk.img { return 302 /b/disk.img?$args; } location /b/ { alias ROOT/www/; }`, ""},
		{"a redirect without end", `location = /disk.img { return 302 /disk.img; }`, "more than 10 redirects"},
		{"a redirect to a file", `location = /disk.img { return 302 file:///etc/passwd; }`, "redirected to a URL that is not of HTTP"},
		{"a redirect nowhere", `location = /disk.img { return 301 "http://%zz"; }`, "redirected to an invalid URL"},
		{"not found", `location = /disk.img { return 404; }`, "404 Not Found"},
		{"forbidden", `location = /disk.img { return 403 "<Code>AccessDenied</Code> s3cr3t"; }`, "403 Forbidden, AccessDenied"},
		{"a login is required", `auth_basic "a"; auth_basic_user_file ROOT/htpasswd;`, "401 Unauthorized"},
		{"not found for ever, by 503", `location = /disk.img { return 503; }`, "503 Service Unavailable"},
		{"a status with text", `location = /disk.img { return 599 "s3cr3t"; }`, "the server answers 599"},
		{"a few requests a second", `limit_req zone=few;`, ""},
		{"a slow server", `limit_rate 4m;`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, want := startNginx(t, "", small)
			if err := n.Reload(strings.ReplaceAll(tt.server, "ROOT", n.Dir)); err != nil {
				t.Fatal(err)
			}
			if tt.want != "" {
				err := refused(t, n.URL("disk.img")+secret, Options{})
				wantError(t, err, tt.want)
				if text := hint.Text(err); strings.Contains(text, "s3cr3t") || !strings.HasPrefix(text, n.URL("disk.img")+": ") {
					t.Errorf("the error is %s", text)
				}
				return
			}
			f := openURL(t, n.URL("disk.img")+secret, Options{Memory: 4 << 20})
			holds(t, f, want, 0, small)
		})
	}
}

func TestEmptyFileIsNamed(t *testing.T) {
	n, _ := startNginx(t, "", 0)
	wantError(t, refused(t, n.URL("disk.img"), Options{}), "is empty")
}

// With a strong ETag the server refuses, with Last-Modified the reader does.
func TestChangedImageIsAnErrorAndNeverAMixture(t *testing.T) {
	for name, server := range map[string]string{"ETag": "", "Last-Modified": "etag off;", "length": `etag off; add_header Last-Modified "";`} {
		t.Run(name, func(t *testing.T) {
			n, want := startNginx(t, server, small)
			old := time.Now().Add(-time.Hour)
			os.Chtimes(n.Path("disk.img"), old, old)
			f := openURL(t, n.URL("disk.img"), Options{})
			holds(t, f, want, 0, 4096)
			size := small
			if name == "length" {
				size++
			}
			writeDisk(t, n, size)
			p := make([]byte, 4096)
			for range 2 {
				_, err := f.ReadAt(p, small-4096)
				if !errors.Is(err, errChanged) {
					t.Fatalf("error %v", err)
				}
				wantError(t, err, "disk.img: read 4096 bytes at 2093156: the image was changed on the server")
			}
			holds(t, f, want, 0, 4096) // of the version that was opened
		})
	}
}

func TestShorterImageIsAChange(t *testing.T) {
	n, _ := startNginx(t, `etag off; add_header Last-Modified "";`, small)
	f := openURL(t, n.URL("disk.img"), Options{})
	os.Truncate(n.Path("disk.img"), 1<<20)
	_, err := f.ReadAt(make([]byte, 1), small-1)
	if !errors.Is(err, errChanged) {
		t.Errorf("error %v", err)
	}
}

func TestServerWithoutValidatorsIsTold(t *testing.T) {
	n, _ := startNginx(t, `etag off; add_header Last-Modified "";`, small)
	var told []string
	openURL(t, n.URL("disk.img"), Options{Notice: func(err error) { told = append(told, err.Error()) }})
	if len(told) != 1 || !strings.Contains(told[0], "a change of the image would not be noticed") {
		t.Errorf("told is %q", told)
	}
}

// The target of a redirect answers the later requests, and the first URL is asked
// again when the target has expired.
func TestRedirectIsKeptUntilItExpires(t *testing.T) {
	for _, status := range []int{403, 404, 410} {
		first := `location = /disk.img { return 307 /a/disk.img?token=1; } location /a/ { alias ROOT/www/; }`
		second := fmt.Sprintf(`location = /disk.img { return 307 /b/disk.img?token=2; } location /a/ { return %d; } location /b/ { alias ROOT/www/; }`, status)
		n, want := startNginx(t, "", 8<<20)
		if err := n.Reload(strings.ReplaceAll(first, "ROOT", n.Dir)); err != nil {
			t.Fatal(err)
		}
		f := openURL(t, n.URL("disk.img"), Options{})
		holds(t, f, want, 2<<20, 100<<10)
		holds(t, f, want, 4<<20, 100<<10)
		if n := count(t, n.Dir, `"GET /disk.img `); n != 1 {
			t.Errorf("the first URL was asked %d times", n)
		}
		if err := n.Reload(strings.ReplaceAll(second, "ROOT", n.Dir)); err != nil {
			t.Fatal(err)
		}
		holds(t, f, want, 5<<20, 3<<20)
		if n := count(t, n.Dir, `"GET /disk.img `); n < 2 || n > 8 {
			t.Errorf("the first URL was asked %d times", n)
		}
	}
}

func count(t *testing.T, dir, what string) int {
	t.Helper()
	text, err := os.ReadFile(dir + "/access.log")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte(what))
}

func TestMirrorThatDiesIsAskedForElsewhere(t *testing.T) {
	mirror, want := startNginx(t, "", 8<<20)
	old := time.Now().Add(-time.Hour)
	os.Chtimes(mirror.Path("disk.img"), old, old)
	n, _ := startNginx(t, "", 0)
	os.WriteFile(n.Path("copy"), want, 0o644)
	os.Chtimes(n.Path("copy"), old, old)
	if err := n.Reload("location = /disk.img { return 302 " + mirror.URL("disk.img") + "; }"); err != nil {
		t.Fatal(err)
	}
	for _, ill := range []func() error{func() error { return mirror.Reload("location = /disk.img { return 503; }") }, mirror.Stop} {
		f := openURL(t, n.URL("disk.img"), Options{})
		holds(t, f, want, 0, 1<<20)
		if err := ill(); err != nil {
			t.Fatal(err)
		}
		if err := n.Reload("location = /disk.img { return 302 /copy; }"); err != nil {
			t.Fatal(err)
		}
		holds(t, f, want, 4<<20, 4<<20)
		f.Close()
		if err := n.Reload("location = /disk.img { return 302 " + mirror.URL("disk.img") + "; }"); err != nil {
			t.Fatal(err)
		}
		mirror.Reload("") // unless it is stopped
	}
}
