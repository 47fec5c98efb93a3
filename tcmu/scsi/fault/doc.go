// Package fault is the language in which a disk is told to misbehave, and the
// memory of what it did: which rule a command falls under, and how often it has.
//
// A rule names commands, conditions and what happens to the commands:
//
//	rule       = command { condition } ":" action
//	command    = "read" | "write" | "unmap" | "flush" | "any"
//	condition  = "lba" area { "," area } | NUMBER "%" | "every" NUMBER | "after" NUMBER | "once"
//	area       = LBA [ "+" BLOCKS ]
//	action     = "medium" | "unsupported" | "aborted" | "transport" | "ua"
//	           | "busy" | "task-set-full" | "reservation"
//	           | "lost" | "torn" BLOCKS | "flip"
//	           | "delay" TIME [ ".." TIME ] | "hang" [ TIME ]
//
// [Parse] reads one. A [Set] has the rules of one disk. Package scsi asks it about
// each command and does what it says: this package knows neither sense data nor
// images, and reads no file. Packages cli and serve parse and show rules.
package fault
