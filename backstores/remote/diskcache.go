package remote

type diskCache struct{}

func openDiskCache(dir string, limit int64, id string, size int64) (*diskCache, error) {
	return nil, nil
}
func (d *diskCache) close() error                    { return nil }
func (d *diskCache) read(slots []*slot) (int, error) { return 0, nil }
func (d *diskCache) missing(slots []*slot) int       { return len(slots) }
func (d *diskCache) write(s *slot)                   {}
