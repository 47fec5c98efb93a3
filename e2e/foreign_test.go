package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/hint"
)

// Whatever the names of an image and of a process that uses its disk are, they
// forge no line and no row, and control no terminal.
func TestNamesOfOthersAreVisible(t *testing.T) {
	needTarget(t)
	const foreign = "x\x1b[2J\r\nlunserve: fine\t\u202e"
	dir := tmpfsDir(t)
	image := filepath.Join(dir, foreign+".img")
	if err := os.Rename(newImage(t, dir, 8<<20), image); err != nil {
		t.Fatal(err)
	}
	s := launch(t, exec.Command(binary, "--trace", image))
	disk := s.line()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, foreign[:15]) // as much as the kernel keeps of it
	if err := os.Symlink(sleep, program); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	user := exec.Command(program, "1000")
	user.ExtraFiles = []*os.File{f}
	if err := user.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { user.Process.Kill(); user.Wait() }()

	visible := func(text string, lines int) {
		t.Helper()
		n := 0
		for line := range strings.Lines(text) {
			n++
			if line = strings.TrimSuffix(line, "\n"); hint.Visible(line) != line {
				t.Errorf("printed is %q", line)
			}
		}
		if n != lines {
			t.Errorf("%d lines, want %d:\n%s", n, lines, text)
		}
	}
	const escaped = `x\x1b[2J\r\nlunserve: fine\t\u202e.img`
	table := run(t, binary, "list")
	if visible(table, 5); !strings.Contains(table, escaped) || !strings.Contains(table, `opened by x\x1b[2J`) {
		t.Errorf("listed is\n%s", table)
	}
	visible(run(t, binary, "list", "--names"), 1)
	object := run(t, binary, "list", "--json")
	visible(object, 1)
	var listed struct{ Image string }
	if err := json.Unmarshal([]byte(object), &listed); err != nil || listed.Image != image {
		t.Errorf("in JSON the image is %q, %v", listed.Image, err)
	}
	out, err := exec.Command(binary, "detach", image).CombinedOutput()
	if visible(string(out), 1); err == nil || !strings.Contains(string(out), `opened by x\x1b[2J`) {
		t.Errorf("detach: %v, %s", err, out)
	}
	user.Process.Kill()
	user.Wait()
	f.Close()
	s.ends()
	said := s.stderr.String()
	visible(said, strings.Count(said, "\n"))
	if !strings.Contains(said, "lunserve: "+filepath.Dir(image)+"/"+escaped+": ") {
		t.Errorf("printed is\n%s", said)
	}
}
