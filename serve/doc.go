// Package serve turns disk images into LUNs, serves them, and removes them.
//
// [Run] starts in this order and ends in reverse, since each step pushes its
// undo step. So a LUN is removed while its commands can still be completed, and
// an image is closed when nothing uses it any more.
//
//	open and lock all images, stack layers for writes  image.go, layers.go
//	load modules, check names                          fabric.go
//	TCM-USER device and ring of each disk, served      device.go
//	targets, with each disk as a LUN                   loopback.go, iscsi.go, vhost.go, userspace.go
//	control socket, pid file, service manager, stdout  ready.go
//	the command, the status line, events               command.go, report.go
//	wait                                               service.go
//
// An upgrade executes another program, which starts in the same order with what
// this one hands over; see upgrade.go and takeover.go.
//
// All goroutines end before Run returns, except those that storage or a stopped
// reader of the output holds up. Run never exits the process, and does not read
// the command line. Only cli imports the package.
package serve
