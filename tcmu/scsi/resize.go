package scsi

import (
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
)

// Size is the bytes of the disk, all of them in whole blocks.
func (d *Disk) Size() int64 { return int64(d.blocks.Load()) * int64(d.BlockSize) }

// Resize gives the disk the size of its store, which is resized first
// ([backstores.Resize]). It waits for the commands of the medium: each sees one
// size all along. After an error the disk is as it was.
func (d *Disk) Resize(n int64) error {
	if d.sanitizing.running.Load() {
		return errors.New("is being sanitized, try again when that has ended")
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	if err := backstores.Resize(d.store, n); err != nil {
		return err
	}
	blocks := uint64(d.store.Size()) / uint64(d.BlockSize)
	if blocks == 0 {
		return fmt.Errorf("%d bytes are less than a block of %d", d.store.Size(), d.BlockSize)
	}
	if d.blocks.Swap(blocks) != blocks {
		d.CapacityChanged()
	}
	return nil
}

// CapacityChanged establishes the unit attention condition CAPACITY DATA HAS
// CHANGED, which the next initiator that sends a command hears of, and no other.
// Resize calls it. Call it again where that initiator is known not to be the only
// one.
//
// Of a removable disk nobody hears. Linux takes any unit attention of one for
// another medium: it fails the command that hears of it, and all those after it
// for as long as the disk is open (scsi_io_completion_action in
// drivers/scsi/scsi_lib.c, and sd_setup_read_write_cmnd).
func (d *Disk) CapacityChanged() {
	if d.has&removable != 0 {
		return
	}
	d.medium.raise(capacityChanged)
	d.medium.refresh(&d.sanitizing)
}
