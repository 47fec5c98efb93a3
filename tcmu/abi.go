package tcmu

import (
	"structs"
	"sync/atomic"
	"unsafe"
)

// The types here are those of include/uapi/linux/target_core_user.h, mailbox
// version 2, as a 64-bit kernel lays them out. The number after each field is
// its offset; TestABI holds the compiler to it.

// mailbox is struct tcmu_mailbox.
type mailbox struct {
	_        structs.HostLayout
	version  uint16        //  0
	flags    uint16        //  2
	cmdrOff  uint32        //  4
	cmdrSize uint32        //  8
	head     atomic.Uint32 // 12: the kernel's; where its next entry will go
	_        [48]byte      // 16: the tail has a cache line of its own
	tail     atomic.Uint32 // 64: ours; the oldest entry not yet answered
}

const (
	mailboxVersion  = 2 // TCMU_MAILBOX_VERSION
	flagOutOfOrder  = 1 // TCMU_MAILBOX_FLAG_CAP_OOOC
	maxCDB          = 260
	maxOutstanding  = 1 << 16 // cmd_id has 16 bits
	entryAlign      = 8       // TCMU_OP_ALIGN_SIZE
	opMask          = entryAlign - 1
	flagUnknownOp   = 1 // TCMU_UFLAG_UNKNOWN_OP
	flagReadLen     = 2 // TCMU_UFLAG_READ_LEN
	checkCondition  = 2 // the one SCSI status that comes with sense data
	senseBufferSize = 96
)

// The operations of an entry, enum tcmu_opcode.
const (
	opPad = iota // fills the end of the ring, so that no entry wraps
	opCommand
	opTaskManagement // tells of aborted commands, which still want an answer
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

// request is the req half of struct tcmu_cmd_entry. iov[iovCount] follows it,
// then the CDB at cdbOff.
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
	kind   uint8    //  8
	_      [3]byte  //  9
	count  uint32   // 12
	_      [16]byte // 16
}

// unitReset is TCMU_TMR_LUN_RESET, a kind of taskManagement. The others abort
// commands and leave the unit alone.
const unitReset = 5

// iovec is struct iovec, its base an offset from the start of the mapping.
type iovec struct {
	_    structs.HostLayout
	base uint64 // 0
	len  uint64 // 8
}

// response is the rsp half of struct tcmu_cmd_entry. It lies over a request,
// so everything wanted from a request is read before a response is written.
type response struct {
	_       structs.HostLayout
	header                        //  0
	status  uint8                 //  8
	_       [3]byte               //  9
	readLen uint32                // 12
	sense   [senseBufferSize]byte // 16
}

// at returns the T at mem[off:], or nil if it is not all there or not aligned.
// Nothing else looks at shared memory as a type; the other uses of unsafe hand
// buffers to system calls, in uio.go.
func at[T any](mem []byte, off uint64) *T {
	var t T
	if off%uint64(unsafe.Alignof(t)) != 0 || off > uint64(len(mem)) || uint64(unsafe.Sizeof(t)) > uint64(len(mem))-off {
		return nil
	}
	return (*T)(unsafe.Pointer(&mem[off : off+uint64(unsafe.Sizeof(t))][0]))
}
