// Package cli is what a person types: the grammar, a file each subcommand, help,
// usage errors, and the exit status.
//
// A flag is a field here and nowhere else: subcommands check flags against each
// other and pass plain values on. The package knows no ring and no SCSI. Only
// main imports it.
package cli
