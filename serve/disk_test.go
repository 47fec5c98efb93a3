package serve

// serving returns s with these disks.
func serving(s *service, disks ...*disk) *service {
	s.setDisks(disks)
	return s
}
