package scsi

import "sync/atomic"

// Stats is what a disk has done since NewDisk.
type Stats struct {
	Reads, Writes, Flushes, Trims uint64 // commands that succeeded
	ReadBytes, WrittenBytes       uint64
}

// counters are those of Stats, being counted.
type counters struct {
	reads, writes, flushes, trims atomic.Uint64
	readBytes, writtenBytes       atomic.Uint64
}

// Stats returns what the disk has done so far.
func (d *Disk) Stats() Stats {
	c := &d.count
	return Stats{
		Reads: c.reads.Load(), Writes: c.writes.Load(), Flushes: c.flushes.Load(), Trims: c.trims.Load(),
		ReadBytes: c.readBytes.Load(), WrittenBytes: c.writtenBytes.Load(),
	}
}
