package image_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// A command that opens a URL again logs in as the one that failed, and curl does.
func TestCommandsForAURLKeepItsFlags(t *testing.T) {
	n, disk := startNginx(t)
	t.Chdir(t.TempDir())
	write(t, "net rc", []byte("machine 127.0.0.1 login joe password s3cr3t\n"))
	write(t, n.Dir+"/htpasswd", []byte("joe:{PLAIN}s3cr3t\n"))
	if err := n.Reload(`auth_basic "a"; auth_basic_user_file ` + n.Dir + `/htpasswd; location = /whole.img { max_ranges 0; alias ` + n.Path("disk.img") + `; }`); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("net rc", 0o600); err != nil {
		t.Fatal(err)
	}
	shell(t, n.Path(""), "zstd -q <frame.zst >twice.zst && gzip -c disk.img >disk.gz && head -c 100000 frame.zst >broken.zst")
	const flags = "--netrc-file 'net rc'"
	for name, want := range map[string]string{
		"frame.zst":  "lunserve pack " + flags + " " + n.URL("frame.zst") + " frame.img.zst",
		"twice.zst":  "lunserve unpack " + flags + " " + n.URL("twice.zst") + " ",
		"disk.gz":    "curl -fL " + flags + " -o disk.gz " + n.URL("disk.gz"),
		"whole.img":  "curl -fL " + flags + " -o whole.img " + n.URL("whole.img"),
		"broken.zst": "curl -fL " + flags + " -o broken.zst " + n.URL("broken.zst"),
	} {
		o, told := notices(t)
		o.URL.NetrcFile = "net rc"
		s, err := image.Open(t.Context(), n.URL(name), o)
		text := told()
		if err != nil {
			text += hint.Text(err)
		} else {
			s.Close()
		}
		if !strings.Contains(text, want) {
			t.Errorf("%s: told is %s, want %s", name, text, want)
		}
		if line, ok := strings.CutPrefix(want, "curl "); ok && name == "whole.img" {
			shell(t, ".", "curl -s "+line)
			storetest.Holds(t, open(t, "whole.img", image.Options{}), disk)
		}
	}
	o, _ := notices(t)
	o.URL.NetrcFile = "net rc"
	info, store, err := image.Inspect(t.Context(), n.URL("disk.img"), o)
	if err != nil || info.Serve != "lunserve "+flags+" "+n.URL("disk.img") {
		t.Errorf("info is %+v, %v", info, err)
	}
	if store != nil {
		store.Close()
	}
	if info, store, err = image.Inspect(t.Context(), n.Path("disk.img"), o); err != nil || strings.Contains(info.Serve, "netrc") {
		t.Errorf("info of a file is %+v, %v", info, err)
	}
	store.Close()
}
