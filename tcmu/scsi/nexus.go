package scsi

import (
	"slices"
	"sync"
	"sync/atomic"
)

// A unitNexus is an I_T_L nexus: what a unit keeps for one initiator port. Behind the
// ring there is none, as the ring does not identify initiators.
type unitNexus struct {
	port string // the name of the initiator port

	prevents atomic.Bool // it prevents removal of the medium
	pending  atomic.Bool // there are attentions

	mu         sync.Mutex
	attentions []Sense // unit attention conditions, oldest first, each once
}

// raise establishes a unit attention condition (SAM-6, Unit attention conditions).
func (n *unitNexus) raise(s Sense) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.ContainsFunc(n.attentions, func(a Sense) bool { return a.Code == s.Code }) {
		n.attentions = append(n.attentions, s)
		n.pending.Store(true)
	}
}

// attention returns and clears the oldest unit attention condition, or nil.
func (n *unitNexus) attention() error {
	if !n.pending.Load() {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.attentions) == 0 {
		return nil
	}
	oldest := n.attentions[0]
	n.attentions = slices.Delete(n.attentions, 0, 1)
	n.pending.Store(len(n.attentions) > 0)
	return oldest
}

// A nexusSet holds the I_T_L nexuses of a unit. Its zero value is empty. It is safe
// for concurrent use.
type nexusSet struct {
	mu  sync.Mutex
	all []*unitNexus
}

func (s *nexusSet) add(n *unitNexus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, n)
}

func (s *nexusSet) remove(n *unitNexus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(other *unitNexus) bool { return other == n })
}

// raise establishes a unit attention condition for each nexus that is wanted.
func (s *nexusSet) raise(sense Sense, wanted func(*unitNexus) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.all {
		if wanted(n) {
			n.raise(sense)
		}
	}
}

// prevent reports whether any nexus prevents removal of the medium.
func (s *nexusSet) prevent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.all, func(n *unitNexus) bool { return n.prevents.Load() })
}

// allow ends the prevention of all.
func (s *nexusSet) allow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.all {
		n.prevents.Store(false)
	}
}

// everyone wants all nexuses; others all but one.
func everyone(*unitNexus) bool { return true }

func others(n *unitNexus) func(*unitNexus) bool {
	return func(other *unitNexus) bool { return other != n }
}

// raise establishes a unit attention condition for the initiators that are wanted.
// Behind the ring only the one that sends the next command is informed.
func (d *Disk) raise(s Sense, wanted func(*unitNexus) bool) {
	if d.Direct {
		d.nexuses.raise(s, wanted)
		return
	}
	d.medium.raise(s)
	d.medium.refresh(&d.sanitizer)
}

// admit returns the reason that a command of a nexus cannot run: a reservation of
// another, or a unit attention condition. The conflict takes precedence (SAM-6, Status
// precedence).
func (d *Disk) admit(r request) error {
	if err := d.conflict(r); err != nil {
		return err
	}
	if r.row.attrs&anyState != 0 {
		return nil
	}
	return r.nexus.attention()
}
