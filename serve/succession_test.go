package serve

import "testing"

// After the fence nobody but the one who removes the disks may use their rings, not
// even one whose adoption comes too late.
func TestNothingIsAdoptedBehindTheFence(t *testing.T) {
	var s service
	fenced := 0
	adopt := func() error {
		s.fences = append(s.fences, func() { fenced++ })
		return nil
	}
	if err := s.unlessFenced(adopt); err != nil {
		t.Fatal(err)
	}
	s.fence()
	if err := s.unlessFenced(adopt); err == nil || len(s.fences) != 1 || fenced != 1 {
		t.Errorf("adopted again: %v; %d rings, %d of them fenced", err, len(s.fences), fenced)
	}
}
