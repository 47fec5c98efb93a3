package overlay_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

const killSpan = 64 << 20

// TestWriterToBeKilled is the process that TestOverlayAfterSIGKILL kills.
// Otherwise it does nothing.
func TestWriterToBeKilled(t *testing.T) {
	dir := os.Getenv("LUNSERVE_TEST_WRITER")
	if dir == "" {
		return
	}
	s := openOverlay(t, filepath.Join(dir, "overlay.qcow2"), filepath.Join(dir, "base.img"))
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
