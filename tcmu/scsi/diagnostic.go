package scsi

import (
	"encoding/binary"

	"github.com/lunserve/lunserve/backstores"
)

// sendDiagnostic is SPC-5, SEND DIAGNOSTIC command. The self-test reads a
// block. No diagnostic page can be sent.
func (d *Disk) sendDiagnostic(r request) (int, error) {
	if binary.BigEndian.Uint16(r.cdb[3:]) != 0 {
		return 0, badField(3, -1)
	}
	if r.cdb[1]&0x04 == 0 { // SELFTEST
		return r.ignoreDataOut()
	}
	if !r.wait {
		return 0, backstores.ErrWouldBlock
	}
	r.ignoreDataOut()
	return 0, d.compare(0, int64(d.BlockSize), nil)
}

// receiveDiagnostic is SPC-5, RECEIVE DIAGNOSTIC RESULTS command. The
// only page is the list of pages.
func (d *Disk) receiveDiagnostic(r request) (int, error) {
	if r.cdb[2] != 0 {
		return 0, badField(2, -1)
	}
	return r.reply([]byte{0, 0, 0, 1, 0}, int(binary.BigEndian.Uint16(r.cdb[3:])))
}
