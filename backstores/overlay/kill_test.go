package overlay_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

const killSpan = 64 << 20

// TestWriterToBeKilled is the process that other tests kill. Otherwise it does
// nothing. It writes to the offsets that it is given, or else at random.
func TestWriterToBeKilled(t *testing.T) {
	dir := os.Getenv("LUNSERVE_TEST_WRITER")
	if dir == "" {
		return
	}
	s := openOverlay(t, filepath.Join(dir, "overlay.qcow2"), filepath.Join(dir, "base.img"))
	if at := strings.Fields(os.Getenv("LUNSERVE_TEST_OFFSETS")); len(at) > 0 {
		for _, word := range at {
			off, err := strconv.ParseInt(word, 10, 64)
			if err == nil {
				err = backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{0x77}, 4096)}, off, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println("\nwritten")
		io.Copy(io.Discard, os.Stdin)
		return
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	p := make([]byte, 1536) // less than a block
	fmt.Println("\nopen")
	for stamp := uint64(1); ; stamp++ {
		place := r.Int64N(killSpan / 4096)
		binary.NativeEndian.PutUint64(p, stamp)
		if err := backstores.WriteVec(s, [][]byte{p}, place*4096+1024, 0); err != nil {
			t.Fatal(err)
		}
		if r.IntN(200) == 0 {
			if err := backstores.Flush(s); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println(place, stamp)
	}
}

// killWriter makes an overlay in dir over its base.img, writes 4 KiB of 0x77 to
// each offset, does not flush, and is killed.
func killWriter(t *testing.T, dir, offsets string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestWriterToBeKilled$")
	cmd.Env = append(os.Environ(), "LUNSERVE_TEST_WRITER="+dir, "LUNSERVE_TEST_OFFSETS="+offsets)
	_, release := storetest.Start(t, cmd, "", "written")
	cmd.Process.Kill()
	release()
}

// Acknowledged writes survive the death of the process, flushed or not.
func TestOverlayAfterSIGKILL(t *testing.T) {
	dir := storetest.MemDir(t)
	base := filepath.Join(dir, "base.img")
	if err := os.WriteFile(base, bytes.Repeat([]byte{0xbb}, killSpan), 0o644); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for run := range 8 {
		cmd := exec.Command(self, "-test.run=^TestWriterToBeKilled$")
		cmd.Env = append(os.Environ(), "LUNSERVE_TEST_WRITER="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		want := map[int64]uint64{}
		last := uint64(0)
		stop := rand.IntN(3000)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == stop {
				cmd.Process.Kill()
			}
			var place int64
			if k, _ := fmt.Sscan(lines.Text(), &place, &last); k == 2 {
				want[place] = last
			}
		}
		cmd.Wait()
		if len(want) == 0 && stop > 10 {
			t.Fatal("nothing was written")
		}
		s := openOverlay(t, filepath.Join(dir, "overlay.qcow2"), base)
		p := make([]byte, 4096)
		for place, stamp := range want {
			if err := backstores.ReadVec(s, [][]byte{p}, place*4096, 0); err != nil {
				t.Fatal(err)
			}
			got := binary.NativeEndian.Uint64(p[1024:])
			if got != stamp && got != last+1 { // the one in flight
				t.Fatalf("run %d, block %d: stamp %d, want %d", run, place, got, stamp)
			}
			if p[0] != 0xbb || p[1023] != 0xbb || p[1024+1536] != 0xbb || p[4095] != 0xbb {
				t.Fatalf("run %d, block %d: the rest is not the base's", run, place)
			}
		}
		s.Close()
	}
	storetest.Command(t, "qemu-img", "check", filepath.Join(dir, "overlay.qcow2"))
}
