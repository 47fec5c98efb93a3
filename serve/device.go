package serve

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/tcmu"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A device is the kernel's side of a disk, and the logical unit that executes its
// commands.
type device struct {
	kernel *configfs.Device
	ring   *tcmu.Device
	unit   *scsi.Disk
}

// cmdTimeout is TCMU's cmd_time_out: the kernel fails commands that are older.
// It is for disks whose lunserve was killed. A disk that is served must not run
// into it, although its dirty pages can take minutes to flush: 850 MiB at 6.6
// MB/s took 128 s (Linux 6.1, null_blk in the VM, 2026-11-26), and failed with
// a timeout of 60 s. Initiators time out earlier: they request an abort, which
// waits, and retry the command.
const cmdTimeout = 5 * time.Minute

// attach makes the device of d, which is not yet a LUN of any target, and
// serves its ring. Later errors of the ring go to s.ringErrs.
func (s *service) attach(ctx context.Context, d *disk, down *configfs.Undo) error {
	img := d.image
	id, err := configfs.NewIdentity(ctx, img.path)
	if err != nil {
		return err
	}
	defer id.Close() // the device has it by then
	dev := &device{unit: scsi.NewDisk(img.store, scsi.Options{
		BlockSize: img.blockSize,
		Serial:    id.Serial,
		NAA:       strings.TrimPrefix(id.WWN, "naa."),
		Removable: s.options.Removable,
		Nexuses:   nexuses(s.fabrics),
		Report:    s.report,
	})}
	dev.kernel, err = configfs.NewDevice(configfs.Spec{
		Image:      img.abs,
		Size:       img.size(),
		BlockSize:  img.blockSize,
		MaxSectors: scsi.MaxTransfer / img.blockSize,
		Serial:     id.Serial,
		Timeout:    cmdTimeout,
	})
	if err != nil {
		return err
	}
	down.Push(dev.kernel.Close)
	// If /var cannot be written, reservations do not survive a power cut.
	if kept, err := configfs.KeepReservations(id.Serial); err == nil {
		down.Push(kept.Close)
	}

	if dev.ring, err = tcmu.Open(dev.kernel.UIO); err != nil {
		return err
	}
	down.Push(dev.ring.Close)
	d.device = dev
	d.watch.attach(dev.ring)

	// Not a child of ctx: a signal must not stop the ring before the LUN is gone.
	serving, halt := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := dev.ring.Serve(serving, handler{dev.unit}); err != nil {
			s.ringErrs <- fmt.Errorf("%s: %w", filepath.Base(img.path), err)
			// Commands will not be completed any more; without a reset the LUN
			// could not be removed.
			if err := dev.kernel.Reset(); err != nil {
				s.console.Warn(err)
			}
		}
	}()
	down.Push(func() error {
		halt()
		<-done
		return nil
	})
	return nil
}

// A handler is a logical unit as the ring sees it: tcmu and scsi do not know each
// other.
type handler struct{ *scsi.Disk }

var _ tcmu.TaskManager = handler{}

// Execute implements [tcmu.Handler].
func (h handler) Execute(cdb []byte, data [][]byte, wait bool) (tcmu.Result, error) {
	r, err := h.Disk.Execute(cdb, data, wait)
	if err != nil {
		err = tcmu.ErrWouldBlock // scsi returns no other error
	}
	return tcmu.Result(r), err
}
