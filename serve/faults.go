package serve

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// A disk misbehaves by its rules from the moment it is ready: nothing keeps the kernel
// from finding it. From the moment it is to be removed, none of its users waits for a
// rule any more, and so the removal does not either.

// faults are those of a disk.
type faults struct {
	seed uint64
	set  *fault.Set // nil until the disk is ready

	changing sync.Mutex // held while rules are changed
}

// readFaults reads the rules of the options. A process that goes on with a disk does so
// even if they cannot be read.
func (s *service) readFaults() (err error) {
	if s.options.Faults == nil || s.taken != nil {
		return nil
	}
	if s.rules, err = s.optionFaults(); err == nil {
		err = fault.NewSet(1).Add(s.rules...) // before there are disks
	}
	if err != nil && s.role != starting {
		s.rules = nil
		s.console.Warn(fmt.Errorf("the disks do not misbehave: %w", err))
		return nil
	}
	return err
}

// mapTime is how long a process that goes on with disks waits for a map of ddrescue: the
// users of the disks wait meanwhile.
const mapTime = 2 * time.Second

// optionFaults returns the rules of the options, some of which are in files.
func (s *service) optionFaults() ([]fault.Rule, error) {
	if s.role == starting {
		return s.options.Faults()
	}
	type result struct {
		rules []fault.Rule
		err   error
	}
	read := make(chan result, 1)
	go func() { // left behind if storage hangs
		rules, err := s.options.Faults()
		read <- result{rules, err}
	}()
	select {
	case r := <-read:
		return r.rules, r.err
	case <-time.After(mapTime):
		return nil, errors.New("the storage of a map of ddrescue does not answer")
	}
}

// startFaults makes the disks misbehave.
func (s *service) startFaults(down *configfs.Undo) error {
	seed := cmp.Or(s.options.FaultSeed, uint64(rand.Uint32()), 1)
	if s.taken != nil {
		seed = s.taken.Seed
	}
	for _, d := range s.disks {
		d.faults.seed, d.faults.set = seed, fault.NewSet(seed+uint64(d.lun))
		rules := s.rules
		if h := s.handedDisk(d.lun); h != nil {
			var err error
			if rules, err = parseRules(h.Faults); err != nil {
				s.console.Warn(fmt.Errorf("%s: does not misbehave any more: %w", d.image.path, err))
			}
		}
		if err := d.misbehave(false, rules); err != nil {
			return err
		}
		for _, r := range rules {
			s.console.Say("%s: %v", d.title(), r)
		}
	}
	if len(s.rules) > 0 {
		s.console.Say("--fault-seed %d repeats the faults", seed)
	}
	down.Push(func() error {
		s.calmFaults()
		return nil
	})
	return nil
}

func parseRules(texts []string) ([]fault.Rule, error) {
	rules := make([]fault.Rule, len(texts))
	for i, text := range texts {
		var err error
		if rules[i], err = fault.Parse(text); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// handOver returns the rules for the program that goes on with the disk.
func (f *faults) handOver() (texts []string) {
	for _, r := range f.set.Rest() {
		texts = append(texts, r.Text())
	}
	return texts
}

// calmFaults lets the disks be removed.
func (s *service) calmFaults() {
	for _, d := range s.disks {
		if d.faults.set != nil {
			d.faults.set.Calm()
		}
	}
}

// misbehave makes the disk misbehave by more rules or, if clear is set, by these alone.
// Without rules the disk does not ask for any.
func (d *disk) misbehave(clear bool, rules []fault.Rule) error {
	f := &d.faults
	f.changing.Lock()
	defer f.changing.Unlock()
	if clear {
		if err := fault.NewSet(1).Add(rules...); err != nil { // those that are there stay
			return err
		}
		f.set.Clear()
	}
	err := f.set.Add(rules...)
	if all, _ := f.set.Counts(); len(all) > 0 {
		d.device.unit.SetFaults(f.set)
	} else {
		d.device.unit.SetFaults(nil)
	}
	return err
}

// counts returns the rules as other programs see them, and the seed if there are any.
func (f *faults) counts() (all []control.Fault, seed uint64) {
	if f.set == nil {
		return nil, 0
	}
	rules, _ := f.set.Counts()
	for _, r := range rules {
		all = append(all, control.Fault{Rule: r.String(), Fired: r.Fired})
		seed = f.seed
	}
	return all, seed
}

// fired describes how many commands of the disks were changed by rules, or is empty if
// there are none.
func fired(disks ...*disk) string {
	on, sum := false, uint64(0)
	for _, d := range disks {
		if d.faults.set == nil {
			continue
		}
		rules, n := d.faults.set.Counts()
		on, sum = on || len(rules) > 0 || n > 0, sum+n
	}
	switch {
	case !on:
		return ""
	case sum == 1:
		return "1 fault"
	}
	return humanize.Comma(int64(sum)) + " faults"
}
