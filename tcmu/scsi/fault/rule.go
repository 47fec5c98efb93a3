package fault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Command is a kind of command, or several.
type Command uint8

const (
	Read Command = 1 << iota
	Write
	Unmap
	Flush

	Any Command = 0xff // also those of no kind, such as INQUIRY
)

// An Action is what happens to a command.
type Action uint8

const (
	None        Action = iota
	Medium             // MEDIUM ERROR; after a read until the block is written
	Unsupported        // ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE
	Aborted            // ABORTED COMMAND
	Transport          // ABORTED COMMAND, ACK/NAK TIMEOUT
	UA                 // UNIT ATTENTION, POWER ON
	Busy               // status BUSY
	TaskSetFull        // status TASK SET FULL
	Reservation        // status RESERVATION CONFLICT
	Lost               // GOOD, and not executed
	Torn               // GOOD, and only the first blocks are written
	Flip               // GOOD, and one bit of a block is wrong
	Delay              // executed later
	Hang               // executed when it is aborted, or after a time
)

// A Rule says what happens to which commands. The conditions must all hold; the zero
// value of each always does.
type Rule struct {
	Command Command
	Areas   []Area  // that the command accesses one of; sorted and disjoint
	Percent float64 // of the commands, at random
	Every   uint64  // only each of this many commands
	After   uint64  // from this command on; the first is 1
	Once    bool

	Action   Action
	Blocks   uint64        // of Torn: how many are written
	Min, Max time.Duration // of Delay: how long; of Hang: both are the longest time, or 0
}

// names returns the words of a table in its order.
func names[T any](table []named[T]) (all []string) {
	for _, n := range table {
		all = append(all, n.name)
	}
	return all
}

type named[T any] struct {
	name  string
	value T
}

// nameOf returns the word for a value.
func nameOf[T comparable](table []named[T], value T) string {
	for _, n := range table {
		if n.value == value {
			return n.name
		}
	}
	return "?"
}

var commands = []named[Command]{{"read", Read}, {"write", Write}, {"unmap", Unmap}, {"flush", Flush}, {"any", Any}}

var actions = []named[Action]{
	{"medium", Medium}, {"unsupported", Unsupported}, {"aborted", Aborted}, {"transport", Transport}, {"ua", UA},
	{"busy", Busy}, {"task-set-full", TaskSetFull}, {"reservation", Reservation},
	{"lost", Lost}, {"torn", Torn}, {"flip", Flip}, {"delay", Delay}, {"hang", Hang},
}

// suits returns the commands that an action is for.
func (a Action) suits() Command {
	switch a {
	case Medium:
		return Read | Write | Unmap | Flush
	case Lost:
		return Write | Unmap | Flush
	case Torn:
		return Write
	case Flip:
		return Read | Write
	}
	return Any
}

// needsBlocks reports whether the action happens to blocks: not to a command of none.
func (a Action) needsBlocks() bool { return a == Medium || a == Torn || a == Flip }

// Waits reports whether the action only keeps an initiator waiting: nothing ends in
// an error, and nothing goes on either.
// Linux repeats a command of a fixed disk that ends in a unit attention.
func (a Action) Waits() bool {
	return a == UA || a == Busy || a == TaskSetFull || a == Delay || a == Hang
}

// Text returns the rule as Parse reads it.
func (r Rule) Text() string { return r.text(len(r.Areas)) }

// String is Text for people: it leaves out areas if there are many.
func (r Rule) String() string { return r.text(4) }

func (r Rule) text(most int) string {
	var b strings.Builder
	b.WriteString(nameOf(commands, r.Command))
	for i, a := range r.Areas {
		switch {
		case i == 0:
			fmt.Fprintf(&b, " lba %v", a)
		case i < most:
			fmt.Fprintf(&b, ",%v", a)
		case i == most:
			fmt.Fprintf(&b, ",… (%d areas)", len(r.Areas))
		}
	}
	if r.After > 0 {
		fmt.Fprintf(&b, " after %d", r.After)
	}
	if r.Every > 0 {
		fmt.Fprintf(&b, " every %d", r.Every)
	}
	if r.Percent > 0 {
		fmt.Fprintf(&b, " %s%%", strconv.FormatFloat(r.Percent, 'f', -1, 64))
	}
	if r.Once {
		b.WriteString(" once")
	}
	b.WriteString(": " + nameOf(actions, r.Action))
	switch {
	case r.Action == Torn:
		fmt.Fprintf(&b, " %d", r.Blocks)
	case r.Action == Hang && r.Max > 0:
		fmt.Fprintf(&b, " %v", r.Max)
	case r.Action == Delay && r.Min == r.Max:
		fmt.Fprintf(&b, " %v", r.Max)
	case r.Action == Delay:
		fmt.Fprintf(&b, " %v..%v", r.Min, r.Max)
	}
	return b.String()
}
