// Package scsi implements a direct-access block device, or a CD-ROM: it executes
// SCSI commands on the contents of a [backstores.Backstore].
//
// The packages that serve disks import it. It imports neither tcmu nor
// configfs, never touches a ring, a target or the network, and never opens or
// closes an image.
//
// It follows SBC-4, MMC-6 and SPC-5, cited by the titles of their clauses, and claims
// conformance to SBC-3, MMC-6 and SPC-4. Everything that needs a
// list of commands reads the one table in commands.go: execution, the check of
// reserved bits, REPORT SUPPORTED OPERATION CODES, and [Disk.Describe].
//
// A command is a function from a CDB and data buffers to a length of data-in
// or a [Sense]. [NewDisk] asks the store for its abilities once; VPD pages, mode
// pages and commands all follow from the answer.
//
// Behind the ring the kernel's target core identifies initiators and executes
// reservations. Without it, see [Options.Direct], a [Target] and its [Nexus]es do.
//
// To add a command, add a row to the table and its function to the file of its
// noun (capacity.go, mode.go, …).
package scsi
