package remote

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// FuzzAnswer gives a hostile server's answer to a reader. What is taken from it
// lies in the request, and its errors contain nothing of the server.
func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 206 X\r\nContent-Range: bytes 16384-49151/100000\r\nETag: \"a\"\r\nContent-Length: 32768\r\n\r\n", uint8(3))
	f.Add("HTTP/1.1 206 X\r\nContent-Range: bytes 16384-16384/99999999999\r\nContent-Length: 1\r\n\r\na", uint8(1))
	f.Add("HTTP/1.1 403 X\r\nContent-Length: 26\r\n\r\n<Code>AccessDenied</Code>  ", uint8(1))
	f.Add("HTTP/1.1 301 X\r\nLocation: //\x00\r\nX-Amz-Bucket-Region: \x1b[2J\r\n\r\n", uint8(1))
	f.Add("HTTP/1.1 416 X\r\nContent-Range: bytes */0\r\nRetry-After: 99999999\r\n\r\n", uint8(1))
	f.Fuzz(func(t *testing.T, text string, blocks uint8) {
		r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), &http.Request{Method: "GET"})
		if err != nil {
			return
		}
		n := int64(blocks%130+1) * blockBytes
		a, err := newAnswer(r, blockBytes, n)
		if err != nil {
			for _, c := range []byte(err.Error()) {
				if c < ' ' || c > '~' {
					t.Fatalf("the error is %q", err)
				}
			}
			delay(3, err)
			return
		}
		if a.off != blockBytes || a.n <= 0 || a.n > n || a.size < a.off+a.n || a.size > maxSize {
			t.Fatalf("the answer is %+v", a)
		}
		v := a.version
		if !v.is(v) {
			t.Fatalf("%+v is not itself", v)
		}
		file := &File{name: "x", version: v, requests: make(chan struct{}, 1)}
		if file.cache, err = newBlocks(1); err != nil {
			t.Fatal(err)
		}
		defer file.cache.close()
		var slots []*slot
		for block := int64(1); block < 1+n/blockBytes && block < file.blockCount(); block++ {
			s := file.cache.claim(block, file.blockLen(block))
			if s == nil {
				break
			}
			slots = append(slots, s)
		}
		if len(slots) == 0 {
			return
		}
		body := bytes.NewBuffer(nil)
		body.ReadFrom(a.body)
		sent := bytes.Clone(body.Bytes())
		a.body = readCloser{body}
		done, _ := file.take(a, slots)
		for i, s := range slots[:done] {
			if s.ready != nil || !bytes.Equal(s.buf[:s.n], sent[i*blockBytes:][:s.n]) {
				t.Fatalf("block %d is not what was sent", s.block)
			}
		}
	})
}

type readCloser struct{ *bytes.Buffer }

func (readCloser) Close() error { return nil }

// FuzzSettings parses what files of the user hold.
func FuzzSettings(f *testing.F) {
	f.Add("machine a login b password c\nmacdef x\n\ndefault login d", "[default]\na=b\n[x")
	f.Fuzz(func(t *testing.T, netrc, ini string) {
		if n, err := parseNetrc(netrc); err == nil {
			n.find("a", true)
			if _, _, ok := n.find("", false); ok {
				t.Fatal("an entry has no name")
			}
		}
		parseINI(ini, "default", "profile default")
	})
}

// FuzzLocation finds a URL whose name has what may be a secret.
func FuzzLocation(f *testing.F) {
	f.Add("https://a:SECRET@h/p?q=SECRET#SECRET")
	f.Fuzz(func(t *testing.T, location string) {
		if !IsURL(location) {
			return
		}
		name := Name(location)
		if strings.ContainsAny(name, "?#") || !IsURL(name) {
			t.Fatalf("the name is %q", name)
		}
		if u, _, err := parse(location, Options{}); err == nil {
			expiry(u)
			follow(u, location)
		}
	})
}
