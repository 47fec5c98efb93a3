package overlay_test

import (
	"errors"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/overlay"
)

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
	s.foreign = false // it has changed nothing
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
