package scsi

// The opcodes that code outside of the table names.
const (
	opInquiry      = 0x12
	opRequestSense = 0x03
	opReportLUNs   = 0xa0
	opStartStop    = 0x1b
	opPrevent      = 0x1e
	opRelease6     = 0x17
	opRelease10    = 0x57

	opReadCapacity10  = 0x25
	opPreFetch10      = 0x34
	opPreFetch16      = 0x90
	opWriteSame10     = 0x41
	opWriteSame16     = 0x93
	opCompareAndWrite = 0x89
	opVerify10        = 0x2f
	opVerify12        = 0xaf
	opVerify16        = 0x8f
	opRead12          = 0xa8
	opReadCD          = 0xbe
)

// transferLength returns how many bytes a command transfers: of data-out, or of
// data-in at most.
func (d *Disk) transferLength(row *row, cdb []byte) int64 {
	r := request{cdb: cdb[:len(row.usage)]}
	_, blocks := r.blocks()
	size := uint64(d.BlockSize)
	switch row.op {
	case opReadCapacity10:
		return 8
	case opPreFetch10, opPreFetch16:
		return 0
	case opWriteSame10:
		return int64(size)
	case opWriteSame16:
		if r.flag(0x01) { // NDOB
			return 0
		}
		return int64(size)
	case opReadCD:
		if cdb[9] == 0 { // no data is asked for
			return 0
		}
	case opCompareAndWrite:
		return int64(2 * blocks * size)
	case opVerify10, opVerify12, opVerify16:
		switch cdb[1] >> 1 & 3 {
		case 0:
			return 0
		case 3:
			return int64(size)
		}
	}
	if row.attrs&locks != 0 {
		return int64(blocks * size)
	}
	for _, p := range row.parts {
		if p.length {
			return int64(p.value(cdb))
		}
	}
	return 0
}

// mostData returns how much memory a command needs for its data, in bytes. It is less
// than what the CDB says if that is more than any command returns, and more for
// commands that check how much comes.
func (d *Disk) mostData(row *row, cdb []byte) int64 {
	switch row.op {
	case opWriteSame10, opWriteSame16, opCompareAndWrite:
		return MaxTransfer
	}
	n := d.transferLength(row, cdb)
	if row.attrs&locks == 0 {
		n = min(n, chunk)
	}
	return n
}
