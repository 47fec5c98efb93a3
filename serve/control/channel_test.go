package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func textFile(t *testing.T, text string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestAddPassesOpenFiles(t *testing.T) {
	c, _ := dialFake(t, &fakeHost{})
	image, overlay := textFile(t, "image "), textFile(t, "overlay ")
	fds := []int{descriptor(image), descriptor(overlay)}
	asked := ""
	open := func(path string) (*os.File, error) {
		asked = path
		return os.Open(textFile(t, "ring").Name())
	}
	d, err := c.Add(t.Context(), Image{Path: "/\xff", Size: 1}, fds, open)
	if err != nil || d.Image != "/\xff: image overlay ring" || asked != "/dev/uio7" {
		t.Errorf("added is %+v, %v; asked for %q", d, err, asked)
	}
	if _, err := image.Stat(); err != nil {
		t.Errorf("the image of the client is closed: %v", err)
	}
	_, err = c.Add(t.Context(), Image{Path: "/a", Size: 1}, fds[:1], func(string) (*os.File, error) { return nil, errors.New("not that one") })
	if err == nil || err.Error() != "not that one" {
		t.Errorf("Add = %v", err)
	}
	if disks, err := c.Disks(); err != nil || len(disks) != 1 {
		t.Errorf("the next request: %+v, %v", disks, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = c.Add(ctx, Image{Path: "/a", Size: 1}, fds[:1], func(string) (*os.File, error) {
		cancel()
		return nil, errors.New("interrupted")
	})
	if err == nil || !strings.HasPrefix(err.Error(), "interrupted; it may still be added by its lunserve, process id ") {
		t.Errorf("interrupted: %v", err)
	}
}

func TestRemoveNamesDisks(t *testing.T) {
	h := &fakeHost{removed: make(chan string, 3)}
	c, _ := dialFake(t, h)
	if err := c.Remove(t.Context(), []string{"a", "b"}, false); err == nil || !strings.Contains(err.Error(), "/dev/sdb is mounted on /mnt") {
		t.Errorf("Remove = %v", err)
	}
	if err := c.Remove(t.Context(), []string{"c"}, true); err != nil {
		t.Errorf("Remove = %v", err)
	}
	for _, want := range []string{"a", "b", "c"} {
		if name := <-h.removed; name != want {
			t.Errorf("removed is %q, want %q", name, want)
		}
	}
}

// countFiles returns how many descriptors lead to a file.
func countFiles(t *testing.T, f *os.File) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if path, _ := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); path == f.Name() {
			n++
		}
	}
	return n
}

// Files that nobody has asked for are not kept.
func TestServerClosesFilesThatItDoesNotNeed(t *testing.T) {
	f := textFile(t, "x")
	rights := func(n int) []byte {
		var fds []int
		for range n {
			fds = append(fds, descriptor(f))
		}
		return unix.UnixRights(fds...)
	}
	for _, tt := range []struct {
		files int
		text  string
		want  string // in the answer
	}{
		{1, `{"version":1,"do":"show"}`, `"disks"`},
		{2, `{"version":2,"do":"add"}`, "not supported"},
		{2, `{"version":1,"do":"add"}`, "no image given"},
		{0, `{"version":1,"do":"add","image":{}}` + "\n" + `{"version":1,"do":"opened"}`, "0 files came"},
		{2, `{"version":1,"do":"add","image":{}}` + "\n" + `{"version":1,"do":"show"}`, "0 files came"},
		{200, `{"version":1,"do":"show"}`, `"disks"`},
		{200, `{"version":1,"do":"add","image":{}}` + "\n" + `{"version":1,"do":"opened","error":"no"}`, `"no"`},
		{2, "no request", ""},
	} {
		_, conn := dialFake(t, &fakeHost{})
		text := []byte(tt.text + "\n")
		if tt.files > 0 {
			if _, _, err := conn.(*net.UnixConn).WriteMsgUnix(text[:1], rights(tt.files), nil); err != nil {
				t.Fatal(err)
			}
			text = text[1:]
		}
		if _, err := conn.Write(text); err != nil {
			t.Fatal(err)
		}
		conn.(*net.UnixConn).CloseWrite()
		answer := new(strings.Builder)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			fmt.Fprintf(answer, "%s", buf[:n])
			if err != nil {
				break
			}
		}
		if !strings.Contains(answer.String(), tt.want) {
			t.Errorf("%s: the answer is %s", tt.text, answer)
		}
	}
	if n := countFiles(t, f); n != 1 {
		t.Errorf("the file is open %d times", n)
	}
}
