package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Each refused overlay and snapshot leaves the image usable.
func TestImpossibleLayersAreRefused(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	image, other, packed := newImage(t, dir, 1<<20), newImage(t, dir, 2<<20), filepath.Join(dir, "a.zst")
	run(t, "zstd", "-q", image, "-o", packed)
	overlay := filepath.Join(dir, "overlay.qcow2")
	start(t, "--overlay="+overlay, image).ends()
	readOnly := t.TempDir()
	mount(t, "none", readOnly, "-t", "tmpfs", "-o", "ro")

	const elsewhere = ": no such file or directory; try --tmpdir DIR to keep temporary writes elsewhere"
	refused(t, "lunserve: /nonexistent"+elsewhere, "-s", "--tmpdir=/nonexistent", image)
	refused(t, "lunserve: /nonexistent"+elsewhere, "--tmpdir=/nonexistent", packed)
	refused(t, "lunserve: "+other+": is not an overlay; give the name of a file that does not exist, to make one",
		"--overlay="+other, image)
	refused(t, "lunserve: "+other+": is a disk of 2097152 bytes, and "+overlay+" was made over one of 1048576",
		"--overlay="+overlay, other)
	refused(t, "lunserve: /nonexistent: no such file or directory", "--overlay=/nonexistent/overlay", image)
	refused(t, "lunserve: "+readOnly+": make a file: read-only file system", "--overlay="+readOnly+"/overlay", image)
	refused(t, "lunserve: /nonexistent: no such file or directory", "-r", "--overlay=/nonexistent", image)
	if err := os.Chtimes(image, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	refusedAs(t, "lunserve: "+image+": has the time .*, and "+overlay+" was made over it as of .*: it was changed since, or copied or restored without its time; try qemu-img convert .*", exec.Command(binary, "--overlay="+overlay, image))
	start(t, image).ends()
}
