package fault

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// maxRules and maxAllAreas are how many rules, and areas in them, a disk may have. So
// they fit a request, and those of some disks the hand-over of an upgrade.
const (
	maxRules    = 256
	maxAllAreas = maxAreas
)

// A Set has the rules of a disk, in the order in which they apply, and remembers what
// they did. It is safe for concurrent use.
type Set struct {
	seed uint64

	mu       sync.Mutex
	rules    []*state
	added    uint64        // rules since Clear
	fired    uint64        // times, of all rules that ever were
	released chan struct{} // closed to let go what is held back
	calm     bool
}

// A state is that of one rule.
type state struct {
	Rule
	areas  areas  // where it still applies
	seen   uint64 // commands that it names
	fired  uint64
	random *rand.Rand
}

// NewSet returns a set without rules. What is random in it follows from the seed: with
// the same commands in the same order, the same happens.
func NewSet(seed uint64) *Set { return &Set{seed: seed, released: make(chan struct{})} }

// An Access is what a command does.
type Access struct {
	Does   Command // 0 if it is of no kind
	Areas  []Area  // the blocks that it accesses
	Exempt bool    // from unit attentions and reservations

	Transfers bool // each of the blocks once: the data of READ or WRITE
}

// A Verdict is what is to happen to a command.
type Verdict struct {
	Action  Action
	Does    Command         // what the rule is about of what the command does
	LBA     uint64          // the first block that the rule is about, if the command has blocks
	Blocks  uint64          // of Torn: how many are written
	After   time.Duration   // how long it is held back
	Release <-chan struct{} // closed: no longer

	rule *state // of Flip
	seed uint64
}

// forever is the time of a Hang without one.
const forever = 1<<63 - 1

// Judge returns what is to happen to a command, which counts as seen.
func (s *Set) Judge(a Access) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		lba, hit := r.concerns(a)
		if s.calm && r.Action.Waits() || !hit || !r.fires() {
			continue
		}
		r.fired++
		s.fired++
		v := Verdict{Action: r.Action, Does: r.Command & a.Does, LBA: lba, Blocks: r.Blocks, Release: s.released, rule: r, seed: s.seed}
		switch r.Action {
		case Delay:
			v.After = r.Min + time.Duration(r.random.Int64N(int64(r.Max-r.Min)+1))
		case Hang:
			if v.After = r.Max; v.After == 0 {
				v.After = forever
			}
		case Flip:
			if r.areas == nil {
				v.LBA += r.random.Uint64N(a.Areas[0].End - a.Areas[0].First)
			}
		}
		return v
	}
	return Verdict{}
}

// Flips calls f with each block of an area whose contents Flip changes, and the number
// of the bit: it is the same each time, as on a medium.
func (v Verdict) Flips(a Area, bitsInBlock uint64, f func(lba, bit uint64)) {
	where := areas{{v.LBA, v.LBA + 1}}
	if v.rule.Areas != nil {
		where = v.rule.Areas
	}
	for lba, found := where.first(a); found; lba, found = where.first(a) {
		f(lba, rand.New(rand.NewPCG(v.seed, lba)).Uint64N(bitsInBlock))
		a.First = lba + 1
	}
}

// concerns reports whether the rule is about a command, and the first of its blocks
// that the rule is about.
func (r *state) concerns(a Access) (lba uint64, hit bool) {
	suits := r.Action.suits()
	switch {
	case r.Command != Any && r.Command&a.Does == 0, suits != Any && suits&a.Does == 0,
		r.Action.needsBlocks() && len(a.Areas) == 0 && a.Does != Flush,
		a.Exempt && (r.Action == UA || r.Action == Reservation),
		r.Action == Flip && !a.Transfers, r.Action == Torn && !r.tears(a):
		return 0, false
	}
	if r.Areas == nil {
		if len(a.Areas) > 0 {
			lba = a.Areas[0].First
		}
		return lba, true
	}
	for _, area := range a.Areas {
		if lba, hit = r.areas.first(area); hit {
			return lba, true
		}
	}
	return 0, false
}

// tears reports whether Torn leaves out blocks of a command.
func (r *state) tears(a Access) bool {
	return a.Does == Write && len(a.Areas) == 1 && r.Blocks < a.Areas[0].End-a.Areas[0].First
}

// fires reports whether the conditions hold for a command that the rule is about.
func (r *state) fires() bool {
	r.seen++
	switch {
	case r.seen < r.After, r.Every > 0 && r.seen%r.Every != 0, r.Once && r.fired > 0:
		return false
	}
	return r.Percent == 0 || r.random.Float64()*100 < r.Percent
}

// Wrote tells the set that blocks were written, and can be read again.
func (s *Set) Wrote(written []Area) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if r.Command != Read || r.Action != Medium {
			continue
		}
		for _, a := range written {
			r.areas = r.areas.without(a)
		}
	}
}

// Add adds rules behind those that are there.
func (s *Set) Add(rules ...Rule) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rules)+len(rules) > maxRules {
		return fmt.Errorf("a disk has at most %d rules", maxRules)
	}
	areas := 0
	for _, r := range s.rules {
		areas += len(r.Areas)
	}
	for _, r := range rules {
		areas += len(r.Areas)
	}
	if areas > maxAllAreas {
		return fmt.Errorf("the rules of a disk have at most %d areas", maxAllAreas)
	}
	for _, r := range rules {
		s.rules = append(s.rules, &state{Rule: r, areas: slices.Clone(r.Areas), random: rand.New(rand.NewPCG(s.seed, s.added))})
		s.added++
	}
	return nil
}

// Clear removes all rules, and lets the commands go that they hold back. What is random
// begins anew: the seed repeats what comes.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.added = nil, 0
	s.release()
}

// Calm ends, for good, what only keeps initiators waiting, and lets the commands go
// that are held back: then a disk can be removed.
func (s *Set) Calm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = true
	s.release()
}

func (s *Set) release() {
	close(s.released)
	s.released = make(chan struct{})
}

// Rest returns the rules that another Set goes on with: without the blocks that were
// written, and the commands that have been seen. Random numbers begin anew.
func (s *Set) Rest() (rules []Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		rest := r.Rule
		rest.Areas = slices.Clone(r.areas)
		rest.After -= min(rest.After, r.seen)
		if (r.Once && r.fired > 0) || (r.Areas != nil && len(r.areas) == 0) {
			continue
		}
		rules = append(rules, rest)
	}
	return rules
}

// A Count is a rule, and how often it has changed what happens to a command.
type Count struct {
	Rule
	Fired uint64
}

// Counts returns the rules, and the times that they and those before them have fired.
func (s *Set) Counts() (rules []Count, fired uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		rules = append(rules, Count{r.Rule, r.fired})
	}
	return rules, s.fired
}
