// Package tcmu serves the SCSI commands that the kernel's TCM-USER module
// (target_core_user) puts on a ring of shared memory.
//
// The packages that serve disks import it. It knows nothing of SCSI beyond CDB,
// status and sense data, never creates or configures a device, and never reads
// an image.
//
// The kernel and this process share one mapping of /dev/uioN:
//
//	+---------+---------------------+---------------------------+
//	| mailbox | command ring        | data area                 |
//	+---------+---------------------+---------------------------+
//	0         cmdr_off              cmdr_off+cmdr_size
//
// The kernel writes an entry and moves the head; we execute the command,
// overwrite an entry with the response and move the tail. Head and tail are the
// only words that both sides access at the same time, and the only ones that
// are accessed atomically.
//
// A [Device] owns the mapping. [Device.Serve] passes the CDB and the data
// buffers of each command to a [Handler]. A [Watcher] observes completed
// commands, and a [Meter] measures their latency.
package tcmu
