package e2e

import (
	goflag "flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/e2e/screen"
)

var screenshots = goflag.Bool("screenshots", false, "write the screenshots to the folder $VM_OUT, and compare nothing")

// TestScreenshotShowsWhatIsPrinted repeats the session whose picture the README has,
// in two terminals: lunserve's, and another one's. Their text is that of the
// picture, but for the name of the disk and for what was counted and measured.
func TestScreenshotShowsWhatIsPrinted(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	bin := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(bin, "lunserve")); err != nil {
		t.Fatal(err)
	}
	mount(t, "tmpfs", "/mnt", "-t", "tmpfs") // whatever is there
	server, other := newTmux(t, dir, bin, "12"), newTmux(t, dir, bin, "12")

	server.types("lunserve --size 256M disk.img")
	disk := server.shows(`(?m)^(/dev/sd[a-z]+)$`)[1]
	other.runs("mkfs.ext4 -q " + disk)
	other.runs("mount " + disk + " /mnt")
	other.runs("lsblk -o NAME,SIZE,VENDOR,MODEL,MOUNTPOINTS " + disk)
	server.key("C-c")
	server.shows(`again to remove`)
	other.runs("umount /mnt")
	server.key("C-c")
	server.shows(`removed; .*\n(.*\n)*# $`)

	svg := screen.SVG("lunserve serves an image as a SCSI disk, on which another terminal makes and mounts a file system; "+
		"the first ^C names its user, and the second removes the disk", 80, server.text("-e"), other.text("-e"))
	if *screenshots {
		if err := os.WriteFile(filepath.Join(os.Getenv("VM_OUT"), "session.svg"), []byte(svg), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	shown, err := os.ReadFile("../docs/session.svg")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lasting(svg), lasting(string(shown)); !slices.Equal(got, want) {
		t.Errorf("now it is\n%s\nand the picture shows\n%s\ntry make screenshots", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// lasting returns the rows of a picture without what differs each time.
func lasting(svg string) (rows []string) {
	disk := regexp.MustCompile(`\bsd[a-z]+\b`)
	counted := regexp.MustCompile(`\d[\d.,]*(h|m|s| ?[KMG]?i?B|ms)*\b`)
	for _, row := range screen.Text(svg) {
		row = disk.ReplaceAllString(row, "sdX")
		if strings.Contains(row, "removed;") {
			row = counted.ReplaceAllString(row, "N")
		}
		rows = append(rows, row)
	}
	return rows
}

// A tmux is a terminal with a shell, without a person.
type tmux struct {
	t      *testing.T
	socket string
}

// newTmux makes a terminal of 80 columns, until t ends.
func newTmux(t *testing.T, dir, bin, rows string) *tmux {
	t.Helper()
	x := &tmux{t, filepath.Join(t.TempDir(), "tmux")}
	need(t, "tmux")
	cmd := exec.Command("tmux", "-u", "-S", x.socket, "-f", "/dev/null", "set-option", "-g", "status", "off", ";",
		"new-session", "-d", "-x", "80", "-y", rows, "-c", dir, "bash", "--norc", "--noprofile")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), `PS1=\[\e[1;32m\]# \[\e[0m\]`, "LANG=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { x.do("kill-server") })
	x.shows(`^# $`)
	return x
}

func (x *tmux) do(args ...string) string {
	x.t.Helper()
	return run(x.t, "tmux", append([]string{"-S", x.socket}, args...)...)
}

// text is what is on the terminal.
func (x *tmux) text(options ...string) string {
	return strings.TrimRight(x.do(append([]string{"capture-pane", "-p", "-J"}, options...)...), "\n")
}

func (x *tmux) key(name string) { x.t.Helper(); x.do("send-keys", name) }

func (x *tmux) types(line string) { x.t.Helper(); x.do("send-keys", "-l", line); x.key("Enter") }

// runs types a line and waits for the next prompt.
func (x *tmux) runs(line string) {
	x.t.Helper()
	x.types(line)
	x.shows(`(?m)^# ` + regexp.QuoteMeta(line) + `\n(.*\n)*# $`)
}

// shows waits until the terminal shows the pattern, and returns the match with its
// submatches.
func (x *tmux) shows(pattern string) []string {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(timeLimit); ; time.Sleep(50 * time.Millisecond) {
		if m := re.FindStringSubmatch(x.text()); m != nil {
			return m
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("the terminal does not show %q, but\n%s", pattern, x.text())
		}
	}
}
