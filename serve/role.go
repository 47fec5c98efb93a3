package serve

// A role is that of a process that runs a service.
type role int

const (
	starting   role = iota // by a person or program
	succeeding             // a server that was killed
	removing               // its disks
	upgrading              // the program that this process executed before
)
