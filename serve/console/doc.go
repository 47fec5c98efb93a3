// Package console prints for a person: lines, a status line below them, a
// progress bar, and the system's log for a process in the background.
//
// It never makes its caller wait for a reader that has stopped for more than a
// second: a stopped terminal (^S) or a full pipe does not block I/O or shutdown.
// A console is a value that is passed down from the command line; the package
// has no state of its own. It may be imported by cli and serve.
package console
