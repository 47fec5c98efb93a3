// Package console prints: lines for a person with a status line or a progress
// bar below them, the system's log for a process in the background, and results
// on standard output as lines, tables and JSON.
//
// It escapes what it prints, so its callers pass names and labels as they are: a
// name cannot control a terminal or forge a line. No other package writes to a
// standard stream; a test of cli finds one that does.
//
// It never makes its caller wait more than a second for a reader that has
// stopped, except for a result: a stopped terminal (^S) or a full pipe does not
// block I/O or shutdown. A console is a value that is passed down from the
// command line; the package has no state of its own. It may be imported by cli
// and serve.
package console
