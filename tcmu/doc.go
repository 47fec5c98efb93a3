// Package tcmu serves the SCSI commands that the kernel's TCM-USER module
// (target_core_user) puts on a ring of shared memory.
//
// The kernel and this program share one mapping of /dev/uioN:
//
//	+---------+---------------------+---------------------------+
//	| mailbox | command ring        | data buffers              |
//	+---------+---------------------+---------------------------+
//	0         cmdr_off              cmdr_off+cmdr_size
//
// The kernel writes an entry and moves the head; we execute it, write the
// answer over an entry and move the tail. Head and tail are the only words
// both sides touch at once, and the only ones read or written atomically.
//
// A [Device] owns the mapping. [Device.Serve] hands each command to a
// [Handler], which sees a CDB and data buffers and knows nothing of rings. A
// [Watcher] may look on, and a [Meter] count how long commands take.
// The package knows nothing of SCSI, nor of how the device was made.
package tcmu
