package tcmu

import (
	"structs"
	"sync/atomic"
	"unsafe"
)

// The types of include/uapi/linux/target_core_user.h, mailbox version 2, in the
// layout of a 64-bit kernel. The number after each field is its offset, which
// TestABI checks.

// mailbox is struct tcmu_mailbox.
type mailbox struct {
	_        structs.HostLayout
	version  uint16        //  0
	flags    uint16        //  2
	cmdrOff  uint32        //  4
	cmdrSize uint32        //  8
	head     atomic.Uint32 // 12: written by the kernel; offset of its next entry
	_        [48]byte      // 16: the tail is in a cache line of its own
	tail     atomic.Uint32 // 64: written by us; offset of the oldest entry not completed
	_        [4]byte       // 68
	spare    [spare]byte   // 72: the rest of that cache line, which the kernel does not use
}

// spare is the number of bytes in mailbox.spare. The ring starts after them.
const spare = 56

const (
	mailboxVersion  = 2 // TCMU_MAILBOX_VERSION
	flagOutOfOrder  = 1 // TCMU_MAILBOX_FLAG_CAP_OOOC
	maxCDB          = 260
	maxOutstanding  = 1 << 16 // cmd_id has 16 bits
	entryAlign      = 8       // TCMU_OP_ALIGN_SIZE
	opMask          = entryAlign - 1
	flagUnknownOp   = 1 // TCMU_UFLAG_UNKNOWN_OP
	flagReadLen     = 2 // TCMU_UFLAG_READ_LEN
	checkCondition  = 2 // the only SCSI status with sense data
	senseBufferSize = 96
)

// The operations of an entry, enum tcmu_opcode.
const (
	opPad = iota // fills the end of the ring: no entry wraps
	opCommand
	opTaskManagement // lists aborted commands, which must still be completed
)

// header is struct tcmu_cmd_entry_hdr.
type header struct {
	_      structs.HostLayout
	lenOp  uint32 // 0: length in bytes, the operation in its low 3 bits
	id     uint16 // 4
	kflags uint8  // 6
	uflags uint8  // 7
}

func (h *header) op() uint32  { return h.lenOp & opMask }
func (h *header) len() uint32 { return h.lenOp &^ opMask }

// request is the req member of struct tcmu_cmd_entry. iov[iovCount] follows it;
// the CDB is at cdbOff.
type request struct {
	_         structs.HostLayout
	header             //  0
	iovCount  uint32   //  8
	bidiCount uint32   // 12
	difCount  uint32   // 16
	_         uint32   // 20
	cdbOff    uint64   // 24: from the start of the mapping
	_         [16]byte // 32
}

// taskManagement is struct tcmu_tmr_entry. cmd_ids[count] follows it.
type taskManagement struct {
	_      structs.HostLayout
	header          //  0
	typ    uint8    //  8
	_      [3]byte  //  9
	count  uint32   // 12
	_      [16]byte // 16
}

// lunReset is TCMU_TMR_LUN_RESET, a type of task management. The other types
// abort commands.
const lunReset = 5

// iovec is struct iovec. base is an offset from the start of the mapping.
type iovec struct {
	_    structs.HostLayout
	base uint64 // 0
	len  uint64 // 8
}

// response is the rsp member of struct tcmu_cmd_entry. It overlays the request,
// which must be read before.
type response struct {
	_       structs.HostLayout
	header                        //  0
	status  uint8                 //  8
	_       [3]byte               //  9
	readLen uint32                // 12
	sense   [senseBufferSize]byte // 16
}

// at returns the T at mem[off:], or nil if it is out of bounds or not aligned.
// It is the only conversion of shared memory to a type; the other uses of unsafe
// pass buffers to system calls, in uio.go.
func at[T any](mem []byte, off uint64) *T {
	var t T
	if off%uint64(unsafe.Alignof(t)) != 0 || off > uint64(len(mem)) || uint64(unsafe.Sizeof(t)) > uint64(len(mem))-off {
		return nil
	}
	return (*T)(unsafe.Pointer(&mem[off : off+uint64(unsafe.Sizeof(t))][0]))
}
