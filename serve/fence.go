package serve

import "errors"

// fence keeps the service from its rings, which are about to be reset, and from
// adopting more: to sign a device lets commands on its ring, and nobody would
// complete them.
func (s *service) fence() {
	s.fencesMu.Lock()
	defer s.fencesMu.Unlock()
	s.fenced = true
	for _, fence := range s.fences {
		fence()
	}
}

// unlessFenced takes a step that must not be taken once fence has returned.
func (s *service) unlessFenced(step func() error) error {
	s.fencesMu.Lock()
	defer s.fencesMu.Unlock()
	if s.fenced {
		return errors.New("the disks are being removed by force")
	}
	return step()
}
