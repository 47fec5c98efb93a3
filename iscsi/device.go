package iscsi

import (
	"errors"
	"time"
)

// A Device is a SCSI target device: the logical units of a target. Its method must
// be safe for concurrent use.
type Device interface {
	// Attach makes the I_T nexus of an initiator port, named as in RFC 7143,
	// 4.4.1 (iSCSI Architecture Model): "iqn.2001-04.com.example,i,0x80123456789a".
	Attach(port string) Nexus
}

// A Nexus executes the commands of one initiator port. Its methods must be safe for
// concurrent use. A LUN is in the format of SAM, eight bytes in big-endian order.
type Nexus interface {
	// Transfer returns the direction of a command's data, and how much of the
	// expected data transfer length of the initiator it uses, in bytes. This many
	// bytes of memory are provided. It bounds what a hostile initiator costs.
	Transfer(lun uint64, cdb []byte, expected int64) (out bool, room int64)

	// Execute executes a command. It takes data-out from data, or puts data-in
	// there; the buffers hold old data. Execute must not retain cdb or data.
	//
	// If wait is false, Execute must not wait for anything slow, and returns
	// ErrWouldBlock if it would have to. It must be idempotent: the command is
	// executed again with wait set, in another goroutine. With wait set there
	// must be no error: a failed command has a status. A [Later] is an error that
	// says how and when else the command is to be executed.
	Execute(lun uint64, cdb []byte, data [][]byte, wait bool) (Result, error)

	// Judge is for a command that Execute has not got yet and will get with wait set.
	// It returns how the command is executed in its place, or nil. It does not wait.
	// data has no buffers yet for data-in.
	Judge(lun uint64, cdb []byte, data [][]byte) *Later

	// Executed is called with each command and its result before the initiator
	// gets it. It must not retain cdb, data or r.Sense.
	Executed(lun uint64, cdb []byte, data [][]byte, r Result, took time.Duration)

	// Manage performs a task management function, and reports whether the logical
	// unit exists. Commands passed to Execute after that were sent after that.
	Manage(f Function, lun uint64) bool

	// Close ends the nexus: the session has ended. No other method runs.
	Close()
}

// A Result is the outcome of a command. It is at most four words long, so that the
// compiler keeps it in registers.
type Result struct {
	Status byte

	// Length is the number of bytes that the command transfers, in its direction,
	// if Status is GOOD. If it is more than the initiator expects, the rest is
	// reported as residual overflow; if it is less, as residual underflow.
	Length int32

	Sense []byte // sense data, if Status is CHECK CONDITION
}

// ErrWouldBlock is the error of a command that would have to wait.
var ErrWouldBlock = errors.New("would block")

// A Later holds a command back. It takes no worker meanwhile. A command that is aborted,
// as by a reset of the logical unit, is held no longer and not executed. A logout ends
// the time of the others.
type Later struct {
	After   time.Duration   // how long to hold it
	Release <-chan struct{} // closed: hold it no longer; may be nil

	// Execute executes it in place of Nexus.Execute with wait set. The buffers may be
	// others than before, with the same data-out.
	Execute func(cdb []byte, data [][]byte) Result
}

func (*Later) Error() string { return "the command is held back" }

// A Function is a task management function, with its code in RFC 7143, 11.5.1.
type Function byte

// The functions that a Nexus performs. The target itself keeps aborted commands
// whose data-out has not arrived from being executed.
const (
	AbortTask        Function = 1
	AbortTaskSet     Function = 2
	ClearTaskSet     Function = 4
	LogicalUnitReset Function = 5
	TargetWarmReset  Function = 6
	TargetColdReset  Function = 7
)
