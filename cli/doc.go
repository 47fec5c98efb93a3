// Package cli is the command line: the grammar, one file per subcommand, help,
// usage errors and the exit status.
//
// A flag is a field here and nowhere else: subcommands check flags against each
// other and pass plain values on. The package knows nothing of rings or SCSI.
// Only main imports it.
package cli
