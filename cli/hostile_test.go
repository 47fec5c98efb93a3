package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/hint"
)

// hostile is a name that clears the line, forges a message, and reverses text.
const hostile = "x\x1b[1K\r\nlunserve: fine; try \u202ehs | lruc\u009b2J\t"

// Nothing in an image, a file name or a process controls the terminal or forges
// a line: each line of standard error is ours, and all of it is visible.
func TestForeignTextDoesNotReachATerminal(t *testing.T) {
	for _, program := range []string{"mkfs.ext4", "sfdisk", "qemu-img", "qemu-io"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	name := func(end string) string { return hostile + end }
	disk, packed := name("disk.img"), name("disk.img.zst")
	script := `set -eu
truncate -s 8M "$1" && mkfs.ext4 -q -L "$(printf 'a\033[2J\nb')" "$1"
truncate -s 4M "$2" && printf 'label: gpt\nstart=2048,size=1024,type=L,name="x%b"\n' '\033[2J' | sfdisk -q "$2"
qemu-img create -q -f qcow2 -u -b "./$1" -F raw "./$3" 8M
mkdir "$4" && ln -s "$4" "$5" && ln -s "/nonexistent/$1" "$6"
ln -s "$(command -v qemu-io)" "./$7"`
	prepare := exec.Command("sh", "-c", script, "sh", disk, name("parts.img"), name("overlay"), name("dir"), name("link"), name("dangling"), hostile[:15])
	prepare.Dir = dir
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// A process with a hostile name has locked this image.
	lock := exec.Command(filepath.Join(dir, hostile[:15]), "-f", "raw", filepath.Join(dir, name("parts.img")))
	lock.Stdin = unended(t)
	locked, err := lock.StdoutPipe()
	if err == nil {
		err = lock.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Wait()
	defer lock.Process.Kill()
	if _, err := locked.Read(make([]byte, 1)); err != nil { // its prompt
		t.Fatal(err)
	}

	for _, tt := range []struct {
		args []string
		want string // part of the output
	}{
		{[]string{"pack", disk}, `\u202e`},
		{[]string{"info", disk, packed}, `x\x1b[1K\r\nlunserve`},
		{[]string{"info", "--json", disk}, `\u001b`},
		{[]string{"info", name("parts.img"), name("overlay"), name("dir"), name("link"), name("dangling")}, `\u202e`},
		{[]string{"pack", name("parts.img")}, `locked by x\x1b[1K\r\nlunserve`},
		{[]string{"pack", disk, packed}, `exists`},
		{[]string{"unpack", packed, disk}, `\u009b2J`},
		{[]string{"commit", name("overlay")}, `\u009b2J`},
		{[]string{"commit", disk}, `\u009b2J`},
		{[]string{"doctor", disk}, `\u009b2J`},
		{[]string{"doctor", "--json", name("dir")}, `\u009b2J`},
		{[]string{"--overlay", name("overlay"), disk}, `x\x1b`},
		{[]string{"--pid-file", name("none/x"), name("missing.img")}, `missing.img`},
		{[]string{"--iscsi", "--iqn", hostile, disk}, ``},
		{[]string{"--iscsi", "--portal", hostile, disk}, `is not an address`},
		{[]string{"--iscsi", "--chap-file", name("missing"), disk}, `no such file`},
		{[]string{"--size", hostile, disk}, `is not a size`},
		{[]string{"--" + hostile}, `unknown flag`},
		{[]string{"--format", hostile, disk}, ``},
		{[]string{"detach", disk}, ``},
		{[]string{disk, "--", hostile}, ``},
		{[]string{hostile}, ``},
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Args = append([]string{"lunserve"}, tt.args...)
		cmd.Dir = dir
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run() // most are refused
		for line := range strings.Lines(stdout.String() + stderr.String()) {
			if line = strings.TrimSuffix(line, "\n"); hint.Visible(line) != line {
				t.Errorf("%q prints %q", tt.args, line)
			}
		}
		for line := range strings.Lines(stderr.String()) {
			if !strings.HasPrefix(line, "lunserve: ") || strings.HasPrefix(line, "lunserve: fine") {
				t.Errorf("%q prints the forged line %q", tt.args, line)
			}
		}
		if strings.Contains(stdout.String(), "\nlunserve: fine") {
			t.Errorf("%q prints a forged line:\n%s", tt.args, &stdout)
		}
		if all := stdout.String() + stderr.String(); !strings.Contains(all, tt.want) {
			t.Errorf("%q prints\n%swant %s", tt.args, all, tt.want)
		}
	}
}

// unended returns a standard input that does not end before the test.
func unended(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r
}
