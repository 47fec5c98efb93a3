package overlay_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// qemu has QEMU write to the overlay, and end or abort.
func (s *turns) qemu() {
	if !s.exists() || s.foreign || !s.made() && s.r.IntN(10) > 0 {
		return
	}
	s.lookWithQEMU()
	s.settle()
	commands := []string{"-f", "qcow2"}
	aborts := s.r.IntN(3) == 0
	made := s.made()
	s.foreign = !made
	for range 1 + s.r.IntN(6) {
		i := s.r.IntN(turnsSectors)
		n := 1 + s.r.IntN(min(turnsSectors-i, 60))
		s.last++
		next, do := s.last, ""
		switch s.r.IntN(24) {
		case 0:
			do, next = "write -q -z", 0
			s.foreign = true
		case 1:
			do, next = "write -q -z -u", 0
			s.foreign = true
		case 2: // whole clusters, or it does nothing
			i, n = i/256*256, 256
			do, next = "discard -q", 0
			s.foreign = true
		case 3, 4, 5:
			commands = append(commands, "-c", "flush")
			s.settle()
			continue
		default:
			file := filepath.Join(s.dir, fmt.Sprint("stamp", next))
			if err := os.WriteFile(file, stamped(next, 1), 0o600); err != nil {
				s.t.Fatal(err)
			}
			defer os.Remove(file)
			do = "write -q -s " + file
		}
		commands = append(commands, "-c", fmt.Sprint(do, " ", sectorAt(i), " ", n*sectorBytes))
		for k := i; k < i+n; k++ {
			s.may[k] = append(s.may[k], next)
		}
	}
	if aborts {
		out, err := exec.Command("qemu-io", append(commands, "-c", "abort", s.path)...).CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() {
			s.t.Fatalf("qemu-io %q: %v: %s", commands, err, out)
		}
		s.leaks = s.leaks || !made
		s.counts["qemu-io aborted"]++
	} else {
		// It may say that it repairs leaks of a region that was being made.
		storetest.Command(s.t, "qemu-io", append(commands, s.path)...)
		s.settle()
		s.counts["qemu-io"]++
	}
	s.lookWithQEMU()
	s.settle()
}

// commitInto has QEMU write to an overlay of the overlay and merge it. QEMU
// opens ours for reading then, and turns to writing later.
func (s *turns) commitInto() {
	if !s.exists() || s.foreign || !s.made() {
		return
	}
	s.lookWithQEMU()
	s.settle()
	top, file := filepath.Join(s.dir, "top.qcow2"), filepath.Join(s.dir, "stamp")
	defer os.Remove(top)
	s.last++
	if err := os.WriteFile(file, stamped(s.last, 1), 0o600); err != nil {
		s.t.Fatal(err)
	}
	i := s.r.IntN(turnsSectors)
	n := 1 + s.r.IntN(min(turnsSectors-i, 200))
	storetest.Command(s.t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", s.path, top)
	storetest.Command(s.t, "qemu-io", "-f", "qcow2", "-c", fmt.Sprint("write -q -s ", file, " ", sectorAt(i), " ", n*sectorBytes), top)
	storetest.Command(s.t, "qemu-img", "commit", "-q", "-f", "qcow2", top)
	for k := i; k < i+n; k++ {
		s.may[k] = []stamp{s.last}
	}
	s.lookWithQEMU()
	s.counts["qemu-img commit"]++
}

// lookWithQEMU checks what QEMU reads.
func (s *turns) lookWithQEMU() {
	out := filepath.Join(s.dir, "out.img")
	defer os.Remove(out)
	storetest.Command(s.t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", s.path, out)
	s.lookAt(out)
}

func (s *turns) lookAt(path string) {
	f, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	s.look(f, "QEMU", false)
}

// rescue types the command of the error and goes on with the image that it makes.
func (s *turns) rescue() {
	base := open(s.t, s.base, true)
	_, _, err := image.OpenOverlay(ctx, s.path, base, s.base, false)
	base.Close()
	_, try := hint.Split(err)
	if !errors.Is(err, overlay.ErrChanged) || len(try) != 1 {
		s.t.Fatalf("%v", err)
	}
	storetest.Command(s.t, "sh", "-c", try[0].Line())
	out := try[0].Words[len(try[0].Words)-1]
	s.lookAt(out)
	if err := errors.Join(os.Rename(out, s.base), os.Remove(s.path)); err != nil {
		s.t.Fatal(err)
	}
	s.foreign, s.leaks = false, false
	s.counts["refused and rescued"]++
}

// check has qemu-img check the file. Clusters of a region that is being made may
// be counted before a table names them.
func (s *turns) check() {
	if !s.exists() {
		return
	}
	out, err := exec.Command("qemu-img", "check", "-f", "qcow2", s.path).CombinedOutput()
	const leaks = 3
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == leaks && (s.leaks || !s.made()) {
		s.counts["leaks"]++
	} else if err != nil {
		s.t.Errorf("qemu-img check: %v: %.2000s", err, out)
	}
}
