package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What a real server cannot be made to do. Each answer is whole.
func TestHostileAnswersAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, answer, want string }{
		{"no Content-Range", "HTTP/1.1 206 X\r\nContent-Length: 4\r\n\r\nabcd", "does not say which bytes"},
		{"no size", "HTTP/1.1 206 X\r\nContent-Range: bytes 0-3/*\r\nContent-Length: 4\r\n\r\nabcd", "does not say which bytes"},
		{"another unit", "HTTP/1.1 206 X\r\nContent-Range: blocks 0-3/4\r\nContent-Length: 4\r\n\r\nabcd", "does not say which bytes"},
		{"a negative size", "HTTP/1.1 206 X\r\nContent-Range: bytes 0-3/-4\r\nContent-Length: 4\r\n\r\nabcd", "does not say which bytes"},
		{"a size that is too large", "HTTP/1.1 206 X\r\nContent-Range: bytes 0-3/9223372036854775807\r\nContent-Length: 4\r\n\r\nabcd", "does not say which bytes"},
		{"a size that is no number", "HTTP/1.1 206 X\r\nContent-Range: bytes 0-3/99999999999999999999\r\nContent-Length: 4\r\n\r\nabcd", "does not say which bytes"},
		{"past the end", "HTTP/1.1 206 X\r\nContent-Range: bytes 0-4/4\r\nContent-Length: 5\r\n\r\nabcde", "does not say which bytes"},
		{"other bytes", "HTTP/1.1 206 X\r\nContent-Range: bytes 1-4/5\r\nContent-Length: 4\r\n\r\nabcd", "asked for bytes 0-1048575, the server sends 1-4"},
		{"more bytes", "HTTP/1.1 206 X\r\nContent-Range: bytes 0-2097151/2097152\r\n\r\n", "asked for bytes 0-1048575, the server sends 0-2097151"},
		{"two lengths", "HTTP/1.1 206 X\r\nContent-Range: bytes 0-3/4\r\nContent-Length: 5\r\n\r\nabcde", "the server says that 4 bytes are 5"},
		{"several ranges", "HTTP/1.1 206 X\r\nContent-Type: multipart/byteranges; boundary=a\r\nContent-Range: bytes 0-3/4\r\n\r\n--a--", "several ranges"},
		{"a redirect without a place", "HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", "redirected to an invalid URL"},
		{"not HTTP", "\x1b[2J s3cr3t\r\n\r\n", "the answer is not valid HTTP"},
		{"nothing", "", "the connection was cut"},
		{"a long header", "HTTP/1.1 200 X\r\nX: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", "the answer is not valid HTTP"},
		{"416 for an image of some bytes", "HTTP/1.1 416 X\r\nContent-Length: 0\r\n\r\n", "is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := listen(t, func(off, n int64) string { return tt.answer })
			err := refused(t, "http://"+addr+"/disk.img?s3cr3t", Options{})
			wantError(t, err, tt.want)
			if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("the error is %q", err)
			}
		})
	}
}

// listen starts a server that answers each request for a range with a text.
func listen(t testing.TB, text func(off, n int64) string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				p := make([]byte, 4096)
				for {
					k, err := c.Read(p)
					if err != nil {
						return
					}
					var first, last int64
					i := bytes.Index(p[:k], []byte("Range: bytes="))
					fmt.Sscanf(string(p[max(i, 0):k]), "Range: bytes=%d-%d", &first, &last)
					out := text(first, last-first+1)
					io.WriteString(c, out)
					if !strings.HasPrefix(out, "HTTP/1.1 206") || !strings.Contains(out, "Content-Length") {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A server may send less than it is asked for. It is asked for the rest.
func TestShortAnswersAreCompleted(t *testing.T) {
	want := noise(small)
	most := int64(100 << 10)
	addr := listen(t, func(off, n int64) string {
		n = min(n, most, small-off)
		return fmt.Sprintf("HTTP/1.1 206 X\r\nETag: \"1\"\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n%s", off, off+n-1, small, n, want[off:off+n])
	})
	f := openURL(t, "http://"+addr+"/", Options{})
	holds(t, f, want, 0, small)
	most = 1000
	f = openURL(t, "http://"+addr+"/", Options{})
	_, err := f.ReadAt(make([]byte, 10), 1<<20)
	wantError(t, err, "the server sends 1000 at a time")
}

// The server changes the image between two answers, and ignores If-Match.
func TestServerThatMixesVersionsIsFound(t *testing.T) {
	for _, header := range []string{"ETag: \"%d\"", "Last-Modified: Mon, 0%d Jan 2024 00:00:00 GMT", "ETag: W/\"%d\""} {
		version := 1
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, value, _ := strings.Cut(fmt.Sprintf(header, version), ": ")
			w.Header().Set(name, value)
			r.Header.Del("If-Match")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, small)))
		}))
		t.Cleanup(s.Close)
		f := openURL(t, s.URL, Options{})
		version = 2
		if _, err := f.ReadAt(make([]byte, 10), small-10); !errors.Is(err, errChanged) {
			t.Errorf("%s: error %v", header, err)
		}
	}
}

// A later answer without the validator that the first had may be of any version.
func TestAnswerWithoutItsValidatorIsAChange(t *testing.T) {
	for name, value := range map[string]string{"ETag": `"1"`, "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"} {
		first := true
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if first {
				w.Header().Set(name, value)
			}
			r.Header.Del("If-Match")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make([]byte, small)))
		}))
		t.Cleanup(s.Close)
		f := openURL(t, s.URL, Options{})
		holds(t, f, make([]byte, small), 0, 4096)
		first = false
		if _, err := f.ReadAt(make([]byte, 10), small-10); !errors.Is(err, errChanged) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWaitForAnAnswerCanBeInterrupted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, "http://"+l.Addr().String()+"/disk.img", Options{Memory: 1 << 20}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestNamesAreWithoutSecrets(t *testing.T) {
	for location, want := range map[string]string{
		"HTTPS://joe:pw@host:8443/a/b.img?X=1#f": "https://host:8443/a/b.img",
		"http://host":                            "http://host/",
		"http://host?q":                          "http://host/",
		"http://host/a@b":                        "http://host/a@b",
		"http://a@b@host/":                       "http://host/",
		"s3://bucket/a/b":                        "s3://bucket/a/b",
		"http://HOST/A":                          "http://host/A",
		"http://joe:p/w@host/a":                  "http://joe/",
		"http://joe:p?w@host/a":                  "http://joe/",
		"http://joe:p#w@host/a":                  "http://joe/",
		"http://[::1]:80/a":                      "http://[::1]:80/a",
		"http://:80/a":                           "http://:80/a",
		"http://":                                "http:///",
	} {
		if got := Name(location); got != want {
			t.Errorf("Name(%q) = %q, want %q", location, got, want)
		}
	}
}

// A URL that is signed again is the same image. Another parameter may be another image.
func TestIdentityIsThatOfTheImage(t *testing.T) {
	all := make(map[string]string)
	for _, location := range []string{"https://h/a", "https://h/b", "https://h/a?file=1", "https://h/a?file=2", "s3://bucket/a", "s3://bucket/a?X-Amz-Signature=1", "s3://bucket/a?b#c"} {
		id := Identity(location)
		if other, ok := all[id]; ok || strings.Contains(id, "file") {
			t.Errorf("%s and %s are %s", location, other, id)
		}
		all[id] = location
	}
	for _, same := range [][2]string{
		{"https://h/a", "HTTPS://h/a?X-Amz-Date=1&X-Amz-Signature=2"}, {"https://h/a", "https://joe@h/a?sv=1&sig=2&se=3#f"},
		{"https://h/a?file=1", "https://h/a?Expires=1&file=1&Signature=2"}, {"https://h/a", "https://h/a?"},
	} {
		if a, b := Identity(same[0]), Identity(same[1]); a != b {
			t.Errorf("%q is %s, and %q %s", same[0], a, same[1], b)
		}
	}
}

func TestExpiryOfPresignedURLs(t *testing.T) {
	for query, want := range map[string]string{
		"X-Amz-Date=20260102T030405Z&X-Amz-Expires=60":   "2026-01-02 03:05:05",
		"X-Goog-Date=20260102T030405Z&X-Goog-Expires=60": "2026-01-02 03:05:05",
		"Expires=1767323105&Signature=x":                 "2026-01-02 03:05:05",
		"se=2026-01-02T03:05:05Z&sig=x":                  "2026-01-02 03:05:05",
		"Expires=1767323105":                             "",
		"X-Amz-Date=20260102T030405Z&X-Amz-Expires=-60":  "",
		"X-Amz-Date=now&X-Amz-Expires=60":                "",
	} {
		u, _, err := parse("http://h/?"+query, Options{})
		if err != nil {
			t.Fatal(err)
		}
		at, ok := expiry(u)
		if got := at.UTC().Format(time.DateTime); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %s, %v", query, got, ok)
		}
	}
}
