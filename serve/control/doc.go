// Package control is the socket by which other processes list, measure, resize
// and detach the disks of a running lunserve. It has both ends and the wire
// types between them.
//
// Each serving process listens at /run/lunserve/PID.sock, which only root can reach,
// or at $XDG_RUNTIME_DIR/lunserve/PID.sock, which only its user can. A connection carries JSON objects, one per line: requests of a
// [Client], and one reply of the [Server] to each. The server passes them to
// its [Host], so neither end knows how disks are made. The package prints
// nothing and checks no rights: its callers do. It may be imported by cli and
// serve.
package control
