package iscsi

import "time"

// A task is a SCSI command. It is reused after its end.
type task struct {
	header   header
	cdb      []byte // a part of cdbRoom
	cdbRoom  [maxCDB]byte
	out      bool // the direction of its data
	room     int  // bytes of data that it uses, at most those that are expected
	arrived  time.Time
	number   uint64 // tasks that arrive later have greater ones
	data     [][]byte
	dataRoom [2][]byte
	blocks   [2]*block
	reserved int // bytes of the memory of the session

	// Of a command whose data-out has not arrived.
	provided    int // bytes that data has room for
	got         int // bytes that have arrived, used or not
	end         int // where the burst that is arriving ends
	dataSN      uint32
	unsolicited bool   // more unsolicited data follows
	asked       bool   // there is an R2T
	targetTag   uint32 // of the R2T
	r2tSN       uint32
	failure     []byte // sense data, if it is to fail

	judged bool          // Judge or Execute had it
	later  *Later        // or nil
	held   chan struct{} // closed to hold it no longer; nil unless it is held

	running bool // a worker executes it
	aborted bool
}

// reset makes t the task of a command.
func (t *task) reset(h *header) {
	*t = task{header: *h, arrived: time.Now()}
}

// expected is the expected data transfer length, in bytes.
func (t *task) expected() int64 { return int64(t.header.expected()) }

// provide adds memory for n bytes of data.
func (t *task) provide(n int) {
	if n == 0 {
		return
	}
	i := 0
	if t.blocks[0] != nil {
		i = 1
	}
	t.blocks[i] = newBlock(n)
	t.dataRoom[i] = t.blocks[i].bytes[:n:n]
	t.data = t.dataRoom[:i+1]
	t.provided += n
}

// free gives the memory back. The data must not be used any more.
func (t *task) free() {
	for i, b := range t.blocks {
		if b != nil {
			b.free()
			t.blocks[i] = nil
		}
	}
	t.data, t.dataRoom, t.provided = nil, [2][]byte{}, 0
}

// part appends the memory for n bytes of data at off to bufs, as far as there is any.
func (t *task) part(bufs [][]byte, off, n int) [][]byte {
	for _, b := range t.data {
		if off < len(b) {
			p := b[off:min(len(b), off+n)]
			bufs = append(bufs, p)
			n -= len(p)
			off += len(p)
		}
		if n == 0 {
			break
		}
		off -= len(b)
	}
	return bufs
}

// fail has the command fail when its data has arrived.
func (t *task) fail(sense []byte) {
	if t.failure == nil {
		t.failure = sense
	}
}

// complete reports whether all of the data-out that the task uses has arrived.
func (t *task) complete() bool { return !t.unsolicited && t.got >= t.room }
