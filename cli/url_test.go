package cli

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Bytes that follow an answer get to no terminal.
func TestTextOfAServerIsNotPrinted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
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
					n, err := c.Read(p)
					if err != nil {
						return
					}
					var first, last int
					_, asked, _ := strings.Cut(string(p[:n]), "Range: bytes=")
					fmt.Sscanf(asked, "%d-%d", &first, &last)
					last = min(last, 8191)
					fmt.Fprintf(c, "HTTP/1.1 206 X\r\nETag: \"1\"\r\nContent-Range: bytes %d-%d/8192\r\nContent-Length: %d\r\n\r\n%s\x1b[2J forged", first, last, last-first+1, make([]byte, last-first+1))
				}
			}()
		}
	}()
	cmd := exec.Command(os.Args[0])
	cmd.Args = []string{"lunserve", "doctor", "http://" + l.Addr().String() + "/disk.img"}
	out, _ := cmd.CombinedOutput()
	if bytes.Contains(out, []byte("forged")) {
		t.Errorf("prints %q", out)
	}
	// The text comes between two requests, or is taken for the answer to the second.
	if !bytes.Contains(out, []byte("a small request takes")) && !bytes.Contains(out, []byte("the answer is not valid HTTP")) {
		t.Errorf("prints %q", out)
	}
}

// The query of a URL is in nothing that is printed or made.
func TestQueryOfAURLIsNotPrinted(t *testing.T) {
	disk := bytes.Repeat([]byte("a disk "), 200_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/a/disk.img" {
			http.Error(w, r.URL.RawQuery, http.StatusForbidden)
			return
		}
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(disk))
	}))
	defer server.Close()
	dir := t.TempDir()
	url := server.URL + "/a/disk.img?X-Amz-Date=20990102T030405Z&X-Amz-Expires=60&X-Amz-Signature=s3cr3t"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"info", url}, server.URL + "/a/disk.img"},
		{[]string{"info", "--json", url}, `"serve":"lunserve URL"`},
		{[]string{"doctor", url}, "the URL expires at "},
		{[]string{"doctor", "--json", url}, "a change is noticed by ETag"},
		{[]string{"pack", url}, "disk.img.zst: "},
		{[]string{"unpack", "--cache-dir", "cache", url, "out.img"}, "out.img: 1.3 MiB"},
		{[]string{"commit", "--base", url, "out.img"}, "out.img"},
		{[]string{"info", server.URL + "/other?s3cr3t"}, "/other: the server answers 403 Forbidden"},
		{[]string{"detach", url}, ""},
		{[]string{"--overly", "x", url}, "unknown flag --overly; try lunserve --overlay x URL"},
		{[]string{"--overly", "--backing=" + url, "a.qcow2"}, "--backing=URL a.qcow2"},
		{[]string{"--backing", url, "out.img"}, ""},
		{[]string{"mount", "-o", "ro", url, dir}, " -r URL"},
		{[]string{"unpack", "a", "b", url}, "/a/disk.img: one argument too many"},
		{[]string{"--size", "1M", url}, "--size makes files"},
		{[]string{"--format", url, "a"}, `"` + server.URL + `/a/disk.img" is not one of`},
		{[]string{"--cache-size=" + url, "a"}, server.URL + "/a/disk.img"},
		{[]string{"-x" + url, "a"}, ""},
		{[]string{"nosuch", url}, ""},
		{[]string{"resize", url, "1M"}, ""},
		{[]string{"pack", url + ".zst"}, ""},
		{[]string{"htps" + strings.TrimPrefix(url, "http")}, "only those of http, https and s3"},
		{[]string{"--s3-endpoint", strings.Replace(url, "//", "//joe:s3cr3t@", 1), "s3://bucket/key"}, "the endpoint is not a URL"},
		{[]string{"-s", url}, ""},
		{[]string{"-s", "--backing=" + url, "out.img"}, ""},
		{[]string{url}, ""},
	} {
		prints := func(attr *syscall.SysProcAttr, want string) {
			cmd := exec.Command(os.Args[0])
			cmd.Args = append([]string{"lunserve"}, tt.args...)
			cmd.Dir = dir
			cmd.SysProcAttr = attr
			out, _ := cmd.CombinedOutput() // some are refused
			if text := string(out); strings.Contains(text, "s3cr3t") || strings.Contains(text, "Amz") || !strings.Contains(text, want) {
				t.Errorf("%q prints\n%swant %s", tt.args, text, want)
			}
		}
		prints(nil, tt.want)
		want := ""
		switch tt.args[0] {
		case url:
			want = "lunserve URL, or --userspace"
		case "-s":
			want = "lunserve -s "
		}
		// In a user namespace without a map nobody is root.
		prints(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}, want)
	}
	got, err := os.ReadFile(filepath.Join(dir, "out.img"))
	if err != nil || !bytes.Equal(got, disk) {
		t.Errorf("unpacked %d bytes, %v", len(got), err)
	}
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(path, "s3cr3t") {
			t.Errorf("made %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
