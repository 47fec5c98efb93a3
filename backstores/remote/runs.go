package remote

// A run is a reader that goes on where it was. near is how far it may be off:
// commands are executed out of order, and a file system skips what is in its cache.
type run struct {
	next  int64  // where it goes on
	n     int64  // bytes read so far
	ahead int64  // what is before was asked for
	last  uint64 // when it was read
}

const (
	maxRuns = 16
	near    = 256 << 10
)

// runs finds readers that go on. It is not safe for concurrent use.
type runs struct {
	all  [maxRuns]run
	time uint64
}

// touch records a read of n bytes at off. It returns the run that the read
// belongs to, and nil if it begins one.
func (r *runs) touch(off, n int64) *run {
	r.time++
	oldest := &r.all[0]
	for i := range r.all {
		w := &r.all[i]
		if w.n > 0 && off-w.next <= near && w.next-off <= near {
			w.n += n
			w.next = max(w.next, off+n)
			w.last = r.time
			return w
		}
		if w.last < oldest.last {
			oldest = w
		}
	}
	*oldest = run{next: off + n, n: n, ahead: off + n, last: r.time}
	return nil
}
