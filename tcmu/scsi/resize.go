package scsi

import (
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
)

// Size returns the size of the disk in bytes, a multiple of the block size.
func (d *Disk) Size() int64 { return int64(d.blocks.Load()) * int64(d.BlockSize) }

// Resize resizes the store to n bytes as [backstores.Resize] does, and the disk
// with it. After an error the disk has its old size. Resize waits for no command:
// one that runs meanwhile still has the old size. If the image is shorter, its
// initiator reads an error for what is lost, as it did since it was cut off.
func (d *Disk) Resize(n int64) error {
	if d.sanitizer.running.Load() {
		return errors.New("a SANITIZE is running; resize the disk when it has ended")
	}
	d.resizing.Lock()
	defer d.resizing.Unlock()
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
// CHANGED. Resize calls it. Behind the ring only the initiator that sends the next
// command is informed; call CapacityChanged again if there are more.
//
// It is a no-op on a removable disk. Linux takes any unit attention of one for a
// medium change: it fails the command, and all later ones for as long as the
// disk is open (scsi_io_completion_action in drivers/scsi/scsi_lib.c, and
// sd_setup_read_write_cmnd).
func (d *Disk) CapacityChanged() {
	if d.has&removable != 0 {
		return
	}
	d.raise(capacityChanged, everyone)
}
