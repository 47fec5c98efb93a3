package scsi

import (
	"encoding/hex"
	"errors"
	"math/bits"
	"strings"
)

// A command is one row of the table of commands.
type command struct {
	op     byte
	sa     int // the service action, or none
	name   string
	usage  string // CDB usage data in hex, a group per field: the bits that may be set
	fields fields // in the order of the groups
	attrs  attr
	needs  ability // the command exists only on disks with all of these
	run    func(*Disk, request) (int, error)
}

// none is the service action of a command that has no service actions.
const none = -1

// An attr is a set of attributes of a command. They decide what happens before
// the command runs.
type attr uint32

const (
	dataOut   attr = 1 << iota // its buffers hold data-out
	media                      // accesses the medium: fails while the unit is stopped
	locks                      // accesses the blocks that its CDB names: is a task in Disk.tasks
	changes                    // changes the medium: fails if write protected
	slow                       // always runs in a worker
	exclusive                  // a read and a write that depends on it: no other command accesses its blocks meanwhile
	anyState                   // runs whatever the state of the unit, and whatever is reserved
	shares                     // runs whatever another nexus has reserved, or checks that itself
	controls                   // a write exclusive reservation of another nexus refuses it, though it may write nothing

	allowedAfterSanitizeFailure
	hasUnmapBit // hidden on disks that are not thin

	read  = media | locks
	write = dataOut | read | changes

	// UNMAP and WRITE SAME may name much of the disk. Each slice is a task.
	sliced = dataOut | media | changes | slow

	// SANITIZE outlives its command, and is a task in the background.
	sanitize = sliced | allowedAfterSanitizeFailure
)

// An ability is a set of abilities of a disk.
type ability uint32

const (
	writable     ability = 1 << iota
	thin                 // blocks can be unmapped
	removable            // the medium can be ejected
	directAccess         // a direct-access block device (SBC-4)
	multimedia           // a CD/DVD device (MMC-6); every unit is one of the two
)

// commands holds every command that a disk can support, in the order of
// opcodes. Those that need neither directAccess nor multimedia are in both standards. A
// command that is not in the table, or needs an ability that the disk lacks, fails with INVALID COMMAND OPERATION CODE. A CDB with a bit set
// that its usage data does not have fails with INVALID FIELD IN CDB.
//
// RDPROTECT, WRPROTECT and VRPROTECT are never allowed, as there is no
// protection information; nor is NACA. GROUP NUMBER is allowed in PRE-FETCH
// only, where libiscsi sets it and other disks ignore it.
var commands = []command{
	{0x00, none, "TEST UNIT READY", "00 00 00 00 00 00", nil, media | shares, 0, (*Disk).testUnitReady},
	{0x03, none, "REQUEST SENSE", "03 01 00 00 ff 00", fields{flag("desc"), allocationLength}, anyState, 0, (*Disk).requestSense},
	{0x08, none, "READ(6)", "08 1fffff ff 00", fields{blockRange, restOfRange}, read, directAccess, (*Disk).read},
	{0x0a, none, "WRITE(6)", "0a 1fffff ff 00", fields{blockRange, restOfRange}, write, directAccess, (*Disk).write},
	{0x12, none, "INQUIRY", "12 01ff ffff 00", fields{vpdCode, allocationLength}, anyState, 0, (*Disk).inquiry},
	{0x15, none, "MODE SELECT(6)", "15 10 00 00 ff 00", fields{pf, modeList}, dataOut | slow | controls, 0, (*Disk).modeSelect},
	{0x1a, none, "MODE SENSE(6)", "1a 08 ffff ff 00", fields{dbd, modeControl, modeCode, allocationLength}, 0, 0, (*Disk).modeSense},
	{0x1b, none, "START STOP UNIT", "1b 01 00 0f f7 00", starting, slow | controls, 0, (*Disk).startStop},
	{0x1c, none, "RECEIVE DIAGNOSTIC RESULTS", "1c 01 ff ffff 00", fields{flag("pcv"), option("page", 0), allocationLength}, 0, 0, (*Disk).receiveDiagnostic},
	{0x1d, none, "SEND DIAGNOSTIC", "1d 17 00 ffff 00", fields{pf, flag("selftest"), flag("devoffl"), flag("unitoffl"), parameterListLength}, dataOut | controls, 0, (*Disk).sendDiagnostic},
	{0x1e, none, "PREVENT ALLOW MEDIUM REMOVAL", "1e 00 00 00 01 00", fields{choice("allow", "prevent")}, slow | controls, removable, (*Disk).preventAllow},
	{0x25, none, "READ CAPACITY(10)", "25 00 00000000 00 00 00 00", nil, media | shares, 0, (*Disk).readCapacity10},
	{0x28, none, "READ(10)", "28 18 ffffffff 00 ffff 00", transfer, read, 0, (*Disk).read},
	{0x2a, none, "WRITE(10)", "2a 18 ffffffff 00 ffff 00", transfer, write, directAccess, (*Disk).write},
	{0x2e, none, "WRITE AND VERIFY(10)", "2e 12 ffffffff 00 ffff 00", verified, write | slow | exclusive, directAccess, (*Disk).writeVerify},
	{0x2f, none, "VERIFY(10)", "2f 16 ffffffff 00 ffff 00", verified, dataOut | read | slow, 0, (*Disk).verify},
	{0x34, none, "PRE-FETCH(10)", "34 02 ffffffff 3f ffff 00", fields{immed, blockRange, groupNumber, restOfRange}, read | slow, directAccess, (*Disk).prefetch},
	{0x35, none, "SYNCHRONIZE CACHE(10)", "35 02 ffffffff 00 ffff 00", fields{immed, blockRange, restOfRange}, media | slow | controls, 0, (*Disk).synchronizeCache},
	{0x37, none, "READ DEFECT DATA(10)", "37 00 1f 00000000 ffff 00", fields{plist, glist, defectFormat, allocationLength}, media | shares, directAccess, (*Disk).readDefects},
	{0x41, none, "WRITE SAME(10)", "41 08 ffffffff 00 ffff 00", fields{flag("unmap"), blockRange, restOfRange}, sliced | hasUnmapBit, directAccess, (*Disk).writeSame},
	{0x42, none, "UNMAP", "42 00 00000000 00 ffff 00", fields{extentList}, sliced, directAccess | thin, (*Disk).unmap},
	{0x43, none, "READ TOC/PMA/ATIP", "43 02 0f 000000 ff ffff c0", fields{flag("msf"), option("format", 0), option("track", 0), allocationLength, option("vendor", 0)}, media, multimedia, (*Disk).readTOC},
	{0x46, none, "GET CONFIGURATION", "46 03 ffff 000000 ffff 00", fields{option("rt", 0), number("feature"), allocationLength}, anyState, multimedia, (*Disk).getConfiguration},
	{0x48, 0x01, "SANITIZE, OVERWRITE", "48 a1 0000000000 ffff 00", fields{immed, ause, overwriteList}, sanitize, directAccess, (*Disk).overwrite},
	{0x48, 0x02, "SANITIZE, BLOCK ERASE", "48 a2 0000000000 ffff 00", fields{immed, ause, option("length", 0)}, sanitize, directAccess | thin, (*Disk).blockErase},
	{0x48, 0x1f, "SANITIZE, EXIT FAILURE MODE", "48 9f 0000000000 0000 00", fields{immed}, media | slow | allowedAfterSanitizeFailure | controls, directAccess, (*Disk).exitFailureMode},
	{0x4a, none, "GET EVENT STATUS NOTIFICATION", "4a 01 0000 ff 0000 ffff 00", fields{flag("polled"), number("classes"), allocationLength}, anyState, multimedia, (*Disk).getEvent},
	{0x4d, none, "LOG SENSE", "4d 00 ffff 00 ffff ffff 00", fields{logControl, logCode, option("pointer", 0), allocationLength}, slow | shares, 0, (*Disk).logSense},
	{0x51, none, "READ DISC INFORMATION", "51 07 0000000000 ffff 00", fields{option("type", 0), allocationLength}, media, multimedia, (*Disk).readDisc},
	{0x52, none, "READ TRACK INFORMATION", "52 03 ffffffff 00 ffff 00", fields{choice("lba", "track", "session", ""), number("number"), allocationLength}, media, multimedia, (*Disk).readTrack},
	{0x55, none, "MODE SELECT(10)", "55 10 00 00 00 00 00 ffff 00", fields{pf, modeList}, dataOut | slow | controls, 0, (*Disk).modeSelect},
	{0x5a, none, "MODE SENSE(10)", "5a 18 ffff 000000 ffff 00", fields{flag("llbaa"), dbd, modeControl, modeCode, allocationLength}, 0, 0, (*Disk).modeSense},
	{0x88, none, "READ(16)", "88 18 ffffffffffffffff ffffffff 00 00", transfer, read, directAccess, (*Disk).read},
	{0x89, none, "COMPARE AND WRITE", "89 18 ffffffffffffffff 000000 ff 00 00", transfer, write | slow | exclusive, directAccess, (*Disk).compareAndWrite},
	{0x8a, none, "WRITE(16)", "8a 18 ffffffffffffffff ffffffff 00 00", transfer, write, directAccess, (*Disk).write},
	{0x8b, none, "ORWRITE(16)", "8b 18 ffffffffffffffff ffffffff 00 00", transfer, write | slow | exclusive, directAccess, (*Disk).orWrite},
	{0x8e, none, "WRITE AND VERIFY(16)", "8e 12 ffffffffffffffff ffffffff 00 00", verified, write | slow | exclusive, directAccess, (*Disk).writeVerify},
	{0x8f, none, "VERIFY(16)", "8f 16 ffffffffffffffff ffffffff 00 00", verified, dataOut | read | slow, directAccess, (*Disk).verify},
	{0x90, none, "PRE-FETCH(16)", "90 02 ffffffffffffffff ffffffff 3f 00", fields{immed, blockRange, restOfRange, groupNumber}, read | slow, directAccess, (*Disk).prefetch},
	{0x91, none, "SYNCHRONIZE CACHE(16)", "91 02 ffffffffffffffff ffffffff 00 00", fields{immed, blockRange, restOfRange}, media | slow | controls, directAccess, (*Disk).synchronizeCache},
	{0x93, none, "WRITE SAME(16)", "93 09 ffffffffffffffff ffffffff 00 00", fields{flag("unmap"), flag("ndob"), blockRange, restOfRange}, sliced | hasUnmapBit, directAccess, (*Disk).writeSame},
	{0x9e, 0x10, "READ CAPACITY(16)", "9e 10 0000000000000000 ffffffff 00 00", fields{allocationLength}, media | shares, directAccess, (*Disk).readCapacity16},
	{0x9e, 0x12, "GET LBA STATUS", "9e 12 ffffffffffffffff ffffffff 00 00", fields{logicalBlockAddress, allocationLength}, media | slow, directAccess, (*Disk).lbaStatus},
	{0xa3, 0x0a, "REPORT TARGET PORT GROUPS", "a3 0a 00 00 0000 ffffffff 00 00", fields{allocationLength}, shares, 0, (*Disk).reportPortGroups},
	{0xa3, 0x0c, "REPORT SUPPORTED OPERATION CODES", "a3 0c 87ffffff ffffffff 00 00", fields{flag("rctd"), opcodeQuery, allocationLength}, shares, 0, (*Disk).reportOpcodes},
	{0xa3, 0x0d, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "a3 0d 80 00 0000 ffffffff 00 00", fields{flag("repd"), allocationLength}, shares, 0, (*Disk).reportTaskManagement},
	{0xa8, none, "READ(12)", "a8 18 ffffffff ffffffff 00 00", transfer, read, 0, (*Disk).read},
	{0xaa, none, "WRITE(12)", "aa 18 ffffffff ffffffff 00 00", transfer, write, directAccess, (*Disk).write},
	{0xad, none, "READ DISC STRUCTURE", "ad 00 ffffffff ff ff ffff c0 00", fields{option("address", 0), option("layer", 0), number("format"), allocationLength, option("agid", 0)}, media, multimedia, (*Disk).readStructure},
	{0xae, none, "WRITE AND VERIFY(12)", "ae 12 ffffffff ffffffff 00 00", verified, write | slow | exclusive, directAccess, (*Disk).writeVerify},
	{0xaf, none, "VERIFY(12)", "af 16 ffffffff ffffffff 00 00", verified, dataOut | read | slow, directAccess, (*Disk).verify},
	{0xb7, none, "READ DEFECT DATA(12)", "b7 1f ffffffff ffffffff 00 00", fields{plist, glist, defectFormat, option("index", 0), allocationLength}, media | shares, directAccess, (*Disk).readDefects},
	{0xbd, none, "MECHANISM STATUS", "bd 00 000000000000 ffff 00 00", fields{allocationLength}, 0, multimedia, (*Disk).mechanismStatus},
	{0xbe, none, "READ CD", "be 1c ffffffff ffffff 10 00 00", fields{option("type", 0), logicalBlockAddress, numberOfBlocks, flag("user data")}, read, multimedia, (*Disk).readCD},
}

// A row is a command of one disk, with its usage data decoded and the position
// of each field.
type row struct {
	command
	usage []byte
	parts []part
}

// rows returns the commands that a disk with the abilities in has supports.
func rows(commands []command, has ability) (all []row) {
	for _, c := range commands {
		if c.needs&^has != 0 {
			continue
		}
		usage, err := hex.DecodeString(strings.ReplaceAll(c.usage, " ", ""))
		parts, err2 := c.parts()
		if err := errors.Join(err, err2); err != nil {
			panic("scsi: usage data of " + c.name + ": " + err.Error()) // TestTable fails first
		}
		// A write-protected disk keeps the bit: the command fails with
		// WRITE PROTECTED instead.
		if c.attrs&hasUnmapBit != 0 && has&(thin|writable) == writable {
			usage[1] &^= unmapBit
		}
		all = append(all, row{c, usage, parts})
	}
	return all
}

// serviceAction returns the service action in a CDB of at least two bytes.
func serviceAction(cdb []byte) int { return int(cdb[1] & 0x1f) }

// matches reports whether cdb, whose opcode is c.op, is this command.
func (c *command) matches(cdb []byte) bool {
	return c.sa == none || len(cdb) > 1 && serviceAction(cdb) == c.sa
}

// check returns an error that points at the first bit that must not be set.
func (r *row) check(cdb []byte) error {
	for i, may := range r.usage {
		if bad := cdb[i] &^ may; bad != 0 {
			return badField(i, int8(bits.Len8(bad)-1))
		}
	}
	return nil
}
