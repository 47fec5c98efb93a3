// Package scsi answers SCSI commands as a direct-access block device does,
// with the contents of a disk taken from a [backstores.Backstore].
//
// It follows SBC-4 and SPC-5, cited by the titles of their clauses, and claims
// SBC-3 and SPC-4, which they extend. Everything that needs a list of commands
// reads the one table in commands.go: execution, the check for bits that must
// be zero, REPORT SUPPORTED OPERATION CODES, and [Disk.Describe], which puts
// commands into words.
//
// A command is a function of bytes: a CDB and data buffers come in, a count of
// data-in or a [Sense] goes out. What a disk can do follows from the abilities
// of its store, which [NewDisk] asks for once, so that VPD pages, mode pages
// and commands cannot contradict each other.
//
// A command of whose kind there are few stands in the file of its noun
// (capacity.go, mode.go, …); a new one is a row in the table and a function.
package scsi
