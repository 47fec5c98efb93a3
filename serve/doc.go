// Package serve makes disk images LUNs, serves them until the end, and takes
// them down.
//
// A start ([Run]) goes down this list, and the end comes back up it: each step
// pushes its undoing, so a LUN goes while its commands can still be completed,
// and an image is closed when nothing uses it any more.
//
//	open and lock all images, lay writes over them     image.go, layers.go
//	load modules, check names                          fabric.go
//	TCM-USER device and ring of each disk, served      device.go
//	targets, with each disk as a LUN                   loopback.go, iscsi.go, vhost.go
//	control socket, pid file, service manager, stdout  ready.go
//	the command, the status line, events               command.go, report.go
//	wait                                               service.go
//
// All goroutines end before Run returns: one ring each disk and its workers, the
// control server, the command, the reports. Run never exits the process, and
// looks at no command line. Only cli imports the package.
package serve
