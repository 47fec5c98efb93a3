// Package guard is the process that survives the server of disks.
//
// A server that is killed cannot remove its disks, and their users wait for it.
// So it starts a guard: the same program with the same arguments, in a session
// of its own and with another name, which ignores the signals of terminals and
// service managers. It reads its arguments, and then waits for the end of a socket
// whose other end nobody but the server has. Meanwhile it does what a confined server
// cannot: it finds the processes that use a disk, and starts guards that are not
// confined.
//
// An orderly end needs no protocol: the guard finds nothing left, and ends. If
// disks are left, the guard becomes the server: package serve adopts the disks.
//
//	server ── socket ── guard        killed:    server ── socket ── guard
//
// If the guard is killed, there is another: a spare one that a confined server has,
// or one that the server starts. If both are, the next start with the same image
// adopts the disks, or lunserve detach removes them.
//
// If the server executes another program (see package serve), the socket stays open
// and the guard guards on, until it has started one of the new program in its place.
//
// The guard holds neither ring nor image. It waits until the dead server has let
// go of them: never before is it certain that the dead one's last thread writes
// no more.
package guard
