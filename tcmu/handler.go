package tcmu

import (
	"errors"
	"time"
)

// A Handler executes SCSI commands. Its method must be safe for concurrent use.
type Handler interface {
	// Execute executes the command in cdb, which may be followed by up to seven
	// bytes of padding. It takes data-out from data or puts data-in there; the
	// buffers are of any number and size and hold old data. Execute must not
	// retain cdb or data.
	//
	// If wait is false, Execute must not wait for anything slow, and returns
	// ErrWouldBlock if it would have to. It must be idempotent: the command is
	// executed again with wait set, in another goroutine. With wait set there
	// must be no error: a failed command has a status. A [Later] is an error that
	// says how and when else the command is to be executed.
	Execute(cdb []byte, data [][]byte, wait bool) (Result, error)
}

// A Result is the outcome of a command. It is at most four words long, so that
// the compiler keeps it in registers.
type Result struct {
	Status byte
	DataIn int32  // bytes of data-in at the start of the buffers, or WholeBuffer
	Sense  []byte // sense data, if Status is CHECK CONDITION
}

// WholeBuffer as the DataIn of a Result returns all of the buffers to the
// initiator. It is zero because the kernel ignores a read_len of zero
// (tcmu_handle_completion): a command cannot return no data-in, so a Handler
// that has none must clear the buffers.
const WholeBuffer = 0

// ErrWouldBlock is the error of a Handler that would have to wait.
var ErrWouldBlock = errors.New("would block")

// A Later is the error of a Handler that holds a command back. It takes no worker
// meanwhile. A command that is aborted, as by a reset of the logical unit, is held
// no longer, nor is any when Serve is to return.
type Later struct {
	After   time.Duration   // how long to hold it
	Release <-chan struct{} // closed: hold it no longer; may be nil
	Execute func() Result   // in place of Handler.Execute with wait set; it may use the cdb and data of that
}

func (*Later) Error() string { return "the command is held back" }

// A TaskManager is a Handler that is notified of task management functions.
type TaskManager interface {
	// TaskManagement reports that commands were aborted, some of which may still
	// be in Execute, or with reset that the logical unit was reset. Commands
	// passed to Execute after that were sent after that. TaskManagement must
	// not block.
	TaskManagement(reset bool)
}

// A Settler is a Handler that is notified of completions that the kernel has.
type Settler interface {
	// Settled reports that the kernel has the completion of a command that was
	// executed with wait set. From here on it is not executed again, even if
	// this process is killed. cdb is the slice that Execute got.
	Settled(cdb []byte)
}
