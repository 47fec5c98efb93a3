package e2e

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A command is a SCSI command and, once it was sent, its outcome.
type command struct {
	cdb     []byte
	in, out []byte // data-in or data-out buffer, not both
	status  uint8
	sense   []byte
}

// sendTo sends the command to the disk with the node f. It returns an error only
// if the disk did not complete the command, whatever the status.
func (c *command) sendTo(f *os.File) error {
	const sgIO, none, toDevice, fromDevice = 0x2285, -1, -2, -3
	sense := make([]byte, 96)
	h := sgHeader{
		id: 'S', direction: none,
		cdb: unsafe.SliceData(c.cdb), cdbSize: uint8(len(c.cdb)),
		sense: unsafe.SliceData(sense), senseSize: uint8(len(sense)),
		timeout: uint32(timeLimit / time.Millisecond),
	}
	if len(c.in) > 0 {
		h.direction, h.data, h.dataSize = fromDevice, unsafe.SliceData(c.in), uint32(len(c.in))
	} else if len(c.out) > 0 {
		h.direction, h.data, h.dataSize = toDevice, unsafe.SliceData(c.out), uint32(len(c.out))
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), sgIO, uintptr(unsafe.Pointer(&h))); errno != 0 {
		return errno
	}
	c.status, c.sense = h.status, sense[:h.senseSizeOut]
	// DID_BAD_TARGET and DID_ERROR: completed, with a wrong number of bytes.
	switch h.hostStatus {
	case 0, 4, 7:
		return nil
	}
	return fmt.Errorf("host status %#x", h.hostStatus)
}

// sgHeader is struct sg_io_hdr of scsi/sg.h.
type sgHeader struct {
	id, direction       int32
	cdbSize, senseSize  uint8
	vectors             uint16
	dataSize            uint32
	data, cdb, sense    *byte
	timeout, flags      uint32 // ms
	pack                int32
	user                *byte
	status, masked, msg uint8
	senseSizeOut        uint8
	hostStatus, driver  uint16
	residual            int32
	duration, info      uint32
}
