package scsi

import (
	"bytes"
	"encoding/binary"
)

// modeSelect is SPC-5, MODE SELECT (6) and (10) command. It changes nothing unless
// the whole list is valid. While initiators share the unit, none of them can make
// it read-only or change the format of sense data for the others; those of
// [Options.Direct] can make it read-only. WCE only makes writes slower.
func (d *Disk) modeSelect(r request) (int, error) {
	if r.cdb[1]&0x10 == 0 { // PF
		return 0, badField(1, 4)
	}
	length, header, descriptorAt := int(r.cdb[4]), 4, 3
	if len(r.cdb) == 10 {
		length, header, descriptorAt = int(binary.BigEndian.Uint16(r.cdb[7:])), 8, 6
	}
	if length == 0 {
		return r.ignoreDataOut()
	}
	list, err := r.copyOut(length)
	if err != nil {
		return 0, err
	}
	if len(list) < header {
		return 0, listLengthError
	}
	descriptor, long := int(list[3]), false
	if header == 8 {
		descriptor, long = int(binary.BigEndian.Uint16(list[6:])), list[4]&1 != 0
	}
	if descriptor > len(list)-header {
		return 0, listLengthError
	}
	if err := d.sameBlocks(list[header:header+descriptor], long); err != nil {
		return 0, badParameter(descriptorAt)
	}
	d.mode.selecting.Lock()
	defer d.mode.selecting.Unlock()
	pages := d.modePages()
	control, caching := pageOf(pages, controlPage), pageOf(pages, cachingPage)
	if d.shared() {
		control.changeable[2] &^= controlDSense
		if r.nexus == nil { // else the others are informed, and a reservation does the same
			control.changeable[4] &^= controlSWP
		}
	}
	for at := header + descriptor; at < len(list); {
		n, err := d.selectPage(pages, list, at)
		if err != nil {
			return 0, err
		}
		at += n
	}
	writeThrough := caching != nil && d.has&writable != 0 && caching.current[2]&cachingWCE == 0
	if was := d.mode.writeThrough.Swap(writeThrough); writeThrough && !was {
		// Earlier writes must be durable as well.
		if err := d.flush(); err != nil {
			d.mode.writeThrough.Store(false)
			return 0, err
		}
	}
	d.mode.descriptorSense.Store(control.current[2]&controlDSense != 0)
	d.mode.softwareProtect.Store(control.current[4]&controlSWP != 0)
	if r.nexus != nil {
		d.raise(modeChanged, others(r.nexus)) // now they can read what has changed
	}
	return 0, nil
}

// selectPage replaces the page of pages that list[at:] begins with, and returns
// its length.
func (d *Disk) selectPage(pages []modePage, list []byte, at int) (int, error) {
	page := list[at:]
	if len(page) < 2 {
		return 0, listLengthError
	}
	for i := range pages {
		p := &pages[i]
		if page[0] != p.current[0] {
			continue
		}
		n := len(p.current)
		if page[1] != p.current[1] {
			return 0, badParameter(at + 1)
		}
		if len(page) < n {
			return 0, listLengthError
		}
		for j := 2; j < n; j++ {
			if (page[j]^p.current[j])&^p.changeable[j] != 0 {
				return 0, badParameter(at + j)
			}
		}
		p.current = page[:n]
		return n, nil
	}
	return 0, badParameter(at)
}

// sameBlocks returns an error if a block descriptor would change the number or
// the length of blocks. A number of zero means the current one.
func (d *Disk) sameBlocks(b []byte, long bool) error {
	want := d.blockDescriptor(long)
	if len(b) == 0 {
		return nil
	}
	if len(b) == len(want) {
		number := len(want) / 2
		if bytes.Equal(b[number:], want[number:]) &&
			(bytes.Equal(b[:number], want[:number]) || len(bytes.Trim(b[:number], "\x00")) == 0) {
			return nil
		}
	}
	return invalidFieldInList
}
