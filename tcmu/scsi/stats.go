package scsi

import "sync/atomic"

// Stats counts the work of a disk since NewDisk.
type Stats struct {
	Reads        uint64 `json:"reads"` // completed with GOOD, as are all commands counted here
	ReadBytes    uint64 `json:"read_bytes"`
	Writes       uint64 `json:"writes"`
	WrittenBytes uint64 `json:"written_bytes"`
	Flushes      uint64 `json:"flushes"`
	Trims        uint64 `json:"trims"`
}

// Plus returns the sum of s and t.
func (s Stats) Plus(t Stats) Stats {
	return Stats{
		Reads: s.Reads + t.Reads, ReadBytes: s.ReadBytes + t.ReadBytes,
		Writes: s.Writes + t.Writes, WrittenBytes: s.WrittenBytes + t.WrittenBytes,
		Flushes: s.Flushes + t.Flushes, Trims: s.Trims + t.Trims,
	}
}

// counters holds the counters of Stats.
type counters struct {
	reads, writes, flushes, trims atomic.Uint64
	readBytes, writtenBytes       atomic.Uint64
}

// add adds the work of the program before.
func (c *counters) add(s Stats) {
	c.reads.Add(s.Reads)
	c.readBytes.Add(s.ReadBytes)
	c.writes.Add(s.Writes)
	c.writtenBytes.Add(s.WrittenBytes)
	c.flushes.Add(s.Flushes)
	c.trims.Add(s.Trims)
}

// Stats returns the counters as they are now.
func (d *Disk) Stats() Stats {
	c := &d.count
	return Stats{
		Reads: c.reads.Load(), Writes: c.writes.Load(), Flushes: c.flushes.Load(), Trims: c.trims.Load(),
		ReadBytes: c.readBytes.Load(), WrittenBytes: c.writtenBytes.Load(),
	}
}
