package overlay_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// lunserve and QEMU write to an overlay in turn, and either is killed at any
// point. LUNSERVE_TEST_TURNS is a number of turns, for a longer test, and
// LUNSERVE_TEST_SEED the seed of a test that failed.
func TestLunserveAndQEMUInTurn(t *testing.T) {
	storetest.Command(t, "qemu-io", "--version")
	turns := 50
	if n, err := strconv.Atoi(os.Getenv("LUNSERVE_TEST_TURNS")); err == nil {
		turns = n
	}
	random := rand.Uint64()
	if n, err := strconv.ParseUint(os.Getenv("LUNSERVE_TEST_SEED"), 10, 64); err == nil {
		random = n
	}
	for name, seed := range map[string]uint64{"fixed": 3, "random": random} {
		t.Run(name, func(t *testing.T) {
			t.Logf("seed %d", seed)
			newTurns(t, rand.New(rand.NewPCG(seed, 33))).run(turns)
		})
	}
}

// The disk has two regions. What happens is around their border.
const (
	turnsSize    = 1<<30 + 8<<20
	turnsFrom    = 1<<30 - 1<<20
	turnsSectors = 4096
	sectorBytes  = 512
)

// A stamped sector is filled with a number: 0, that of the base, or that of a
// write, which is above all others.
type stamp = uint32

// A turns is a disk and what its sectors may hold.
type turns struct {
	t       *testing.T
	r       *rand.Rand
	dir     string
	base    string // path
	path    string // of the overlay
	session overlay.Session
	last    stamp

	// may has, for each sector, what it held when it was known to be in the map
	// of the file, and what was written to it since. A process that was killed
	// was about to write inFlight.
	may      [turnsSectors][]stamp
	inFlight map[int]stamp

	marks   bool // the marks count: lunserve was the last to write, in this session
	foreign bool // QEMU was told to do what lunserve refuses
	counts  map[string]int
}

func newTurns(t *testing.T, r *rand.Rand) *turns {
	dir := storetest.MemDir(t)
	s := &turns{t: t, r: r, dir: dir, base: filepath.Join(dir, "base.img"), path: filepath.Join(dir, "overlay,1.qcow2"), last: turnsSectors, counts: map[string]int{}}
	f, err := os.Create(s.base)
	if err == nil {
		err = f.Truncate(turnsSize)
	}
	for i := 0; i < turnsSectors && err == nil; i++ {
		s.may[i] = []stamp{stamp(i + 1)}
		if i%1024 > 100 {
			_, err = f.WriteAt(stamped(stamp(i+1), 1), sectorAt(i))
		} else {
			s.may[i][0] = 0
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return s
}

func sectorAt(i int) int64 { return turnsFrom + int64(i)*sectorBytes }

func stamped(n stamp, sectors int) []byte {
	p := make([]byte, sectors*sectorBytes)
	for i := 0; i < len(p); i += 4 {
		binary.LittleEndian.PutUint32(p[i:], n)
	}
	return p
}

func (s *turns) run(turns int) {
	for turn := range turns {
		switch s.r.IntN(14) {
		default:
			s.lunserve()
		case 0, 1, 2:
			s.qemu()
		case 3, 4:
			s.commitInto()
		case 5:
			s.lunserveReads()
		case 6: // another boot, and all that was written is still there
			s.session[0]++
			s.marks = false
			s.counts["boots"]++
		}
		s.check()
		if s.t.Failed() {
			s.t.Fatalf("in turn %d", turn)
		}
	}
	s.t.Logf("%d turns: %v", turns, s.counts)
}

// lunserve serves the overlay, writes, and ends or is killed.
func (s *turns) lunserve() {
	if !s.exists() {
		openOverlay(s.t, s.path, s.base).Close()
	}
	left := -1
	if s.r.IntN(4) > 0 {
		left = s.r.IntN(60)
	}
	o, err := s.open(left, false)
	switch {
	case errors.Is(err, errKilled):
		s.counts["killed at start"]++
		return
	case errors.Is(err, overlay.ErrChanged) && s.foreign:
		s.rescue()
		return
	case err != nil:
		s.t.Fatal(err)
	}
	s.look(o, "lunserve", s.marks)
	if !s.marks { // the marks of before are gone
		s.settle()
		s.marks = true
	}
	s.inFlight = nil
	for range 1 + s.r.IntN(20) {
		if err := s.step(o); errors.Is(err, errKilled) {
			s.counts["killed"]++
			o.die()
			return
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
	if err := o.Close(); err != nil && !errors.Is(err, errKilled) {
		s.t.Fatal(err)
	}
	s.counts["ended"]++
}

// lunserveReads opens the overlay read-only, which changes nothing in the file.
func (s *turns) lunserveReads() {
	if !s.exists() {
		return
	}
	before := s.stat()
	o, err := s.open(0, true)
	if errors.Is(err, overlay.ErrChanged) && s.foreign {
		return
	} else if err != nil {
		s.t.Fatal(err)
	}
	s.look(o, "lunserve, read-only", s.marks)
	if err := o.Close(); err != nil {
		s.t.Fatal(err)
	}
	if s.stat() != before {
		s.t.Error("a read-only overlay was written")
	}
	s.counts["read-only"]++
}

func (s *turns) open(left int, readOnly bool) (*mortal, error) {
	return openMortal(s.t, s.path, s.base, func(int) overlay.Session { return s.session }, readOnly, left, s.r)
}

// step makes one change, or flushes.
func (s *turns) step(o *mortal) (err error) {
	i := s.r.IntN(turnsSectors)
	n := 1 + s.r.IntN(min(turnsSectors-i, 30))
	if s.r.IntN(8) == 0 {
		n = 1 + s.r.IntN(turnsSectors-i)
	}
	s.last++
	next, flag := s.last, backstores.Flag(0)
	switch s.r.IntN(8) {
	case 0:
		if err := o.Flush(); err != nil {
			return err
		}
		for i := range s.may {
			s.may[i] = s.may[i][len(s.may[i])-1:]
		}
		return nil
	case 1:
		next = 0
		err = o.Trim(sectorAt(i), int64(n)*sectorBytes)
	case 2:
		next = 0
		err = o.Zero(sectorAt(i), int64(n)*sectorBytes)
	case 3:
		flag = backstores.Durable
		fallthrough
	default:
		err = o.WriteVec([][]byte{stamped(next, n)}, sectorAt(i), flag)
	}
	if errors.Is(err, errKilled) {
		s.inFlight = map[int]stamp{}
	}
	for k := i; k < i+n; k++ {
		switch {
		case err != nil:
			s.inFlight[k] = next
		case flag == backstores.Durable:
			s.may[k] = []stamp{next}
		default:
			s.may[k] = append(s.may[k], next)
		}
	}
	return err
}

// look reads all sectors. If acknowledged is set, they must hold what was
// written last. What they hold becomes the last state of each.
func (s *turns) look(from io.ReaderAt, who string, acknowledged bool) {
	p := make([]byte, turnsSectors*sectorBytes)
	if n, err := from.ReadAt(p, turnsFrom); n != len(p) {
		s.t.Fatal(err)
	}
	for i := range s.may {
		sector := p[i*sectorBytes:][:sectorBytes]
		got := binary.LittleEndian.Uint32(sector)
		if !bytes.Equal(sector, stamped(got, 1)) {
			s.t.Fatalf("%s: sector %d holds parts of two writes", who, i)
		}
		may := s.may[i]
		if acknowledged {
			may = may[len(may)-1:]
		}
		if next, ok := s.inFlight[i]; !slices.Contains(may, got) && !(ok && next == got) {
			s.t.Fatalf("%s: sector %d holds %d, not one of %v", who, i, got, may)
		}
		s.may[i] = append(s.may[i], got)
	}
}

// settle forgets every state but the last: the map in the file has it.
func (s *turns) settle() {
	for i := range s.may {
		s.may[i] = s.may[i][len(s.may[i])-1:]
	}
	s.inFlight = nil
}

// qemu has QEMU write to the overlay, and end or abort.
func (s *turns) qemu() {
	if !s.exists() || s.foreign || !s.made() && s.r.IntN(10) > 0 {
		return
	}
	s.lookWithQEMU()
	s.settle()
	s.foreign = !s.made()
	commands := []string{"-f", "qcow2"}
	aborts := s.r.IntN(3) == 0
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
		s.counts["qemu-io aborted"]++
	} else {
		if out := storetest.Command(s.t, "qemu-io", append(commands, s.path)...); out != "" {
			s.t.Fatalf("qemu-io %q: %s", commands, out)
		}
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
	s.foreign = false
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
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == leaks && (s.foreign || !s.made()) {
		s.counts["leaks"]++
	} else if err != nil {
		s.t.Errorf("qemu-img check: %v: %.2000s", err, out)
	}
}

func (s *turns) exists() bool {
	_, err := os.Stat(s.path)
	return err == nil
}

func (s *turns) stat() string {
	st, err := os.Stat(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprint(st.ModTime(), st.Size())
}

// made reports whether both regions have tables.
func (s *turns) made() bool {
	f, err := os.Open(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	var l1 [2]uint64
	if err := binary.Read(io.NewSectionReader(f, 128<<10, 16), binary.BigEndian, &l1); err != nil {
		s.t.Fatal(err)
	}
	return l1[0] != 0 && l1[1] != 0
}
