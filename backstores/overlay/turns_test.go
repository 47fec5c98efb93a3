package overlay_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/storetest"
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
	leaks   bool // QEMU aborted while it allocated clusters
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
