package serve

import (
	"cmp"
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
// commands. With --userspace there is no kernel's side.
type device struct {
	name   string // unique on this machine
	kernel *configfs.Device
	ring   *tcmu.Device
	unit   *scsi.Disk
	halt   func() // returns when the ring is not served any more
}

// cmdTimeout is TCMU's cmd_time_out: the kernel fails commands that are older.
// It is for disks whose lunserve was killed. A disk that is served must not run
// into it, although its dirty pages can take minutes to flush: 850 MiB at 6.6
// MB/s took 128 s (Linux 6.1, null_blk in the VM, 2026-11-26), and failed with
// a timeout of 60 s. Initiators time out earlier: they request an abort, which
// waits, and retry the command.
const cmdTimeout = 5 * time.Minute

// attach makes or adopts the device of d and serves its ring. Later errors of the
// ring go to s.ringErrs. Unless d is an orphan, it is not yet a LUN of any target.
func (s *service) attach(ctx context.Context, d *disk, down *configfs.Undo) error {
	if s.options.Userspace {
		return s.attachDirectly(d)
	}
	prepare := s.newDevice
	if d.orphan != nil {
		prepare = s.adoptDevice
	}
	dev, err := prepare(ctx, d, down)
	if err != nil {
		return err
	}
	dev.name = dev.kernel.Name()
	d.device = dev
	d.watch.attach(dev.ring)
	if err := s.unlessFenced(func() error {
		s.fences = append(s.fences, dev.ring.Fence())
		return nil
	}); err != nil {
		return err
	}

	s.serveRing(d)
	down.Push(func() error {
		dev.halt()
		return nil
	})
	if d.orphan != nil && s.role != upgrading { // which has signed before
		return s.sign(d)
	}
	return nil
}

// serveRing serves the ring of d until halt, even if the halt before still waits for
// a command.
func (s *service) serveRing(d *disk) {
	dev, before := d.device, d.device.halt
	// Not a child of ctx: a signal must not stop the ring before the LUN is gone.
	serving, halt := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := dev.ring.Serve(serving, handler{dev.unit}); err != nil {
			select {
			case s.ringErrs <- fmt.Errorf("%s: %w", filepath.Base(d.image.path), err):
			default: // it has failed before
			}
			// Commands will not be completed any more; without a reset the LUN
			// could not be removed.
			if err := dev.kernel.Reset(); err != nil {
				s.console.Warn(err)
			}
		}
	}()
	dev.halt = func() {
		halt()
		<-done
		if before != nil {
			before()
		}
	}
}

// newDevice makes a device.
func (s *service) newDevice(ctx context.Context, d *disk, down *configfs.Undo) (dev *device, err error) {
	id, err := configfs.NewIdentity(ctx, d.image.identity)
	if err != nil {
		return nil, err
	}
	defer id.Close() // the device has it by then
	dev = new(device)
	if dev.kernel, err = configfs.NewDevice(s.spec(d, id.Serial, id.WWN)); err != nil {
		return nil, err
	}
	down.Push(dev.kernel.Close)
	// If /var cannot be written, reservations do not survive a power cut.
	if kept, err := configfs.KeepReservations(id.Serial); err == nil {
		down.Push(kept.Close)
	}
	if dev.ring, err = tcmu.Open(dev.kernel.UIO); err != nil {
		return nil, err
	}
	down.Push(dev.ring.Close)
	dev.unit = s.unit(d, id.Serial, id.WWN, dev.ring)
	return dev, nil
}

// adoptDevice adopts the device of the disk's orphan.
func (s *service) adoptDevice(_ context.Context, d *disk, down *configfs.Undo) (dev *device, err error) {
	o := d.orphan
	dev = &device{ring: o.ring}
	if spec := s.spec(d, o.Serial, o.WWN); s.role == upgrading {
		dev.kernel = configfs.AdoptDevice(o.Export, spec) // and its ring goes on
	} else if dev.kernel, err = o.recover(spec); err != nil {
		return nil, err
	}
	down.Push(dev.kernel.Close)
	if kept, err := configfs.AdoptReservations(o.Serial); err == nil {
		down.Push(kept.Close)
	}
	down.Push(dev.ring.Close)
	dev.unit = s.unit(d, o.Serial, o.WWN, dev.ring)
	if s.role == upgrading {
		dev.unit.Restore(d.image.handed.State)
	}
	return dev, nil
}

func (s *service) spec(d *disk, serial, wwn string) configfs.Spec {
	return configfs.Spec{
		Image:      d.image.abs,
		Size:       d.image.size(),
		BlockSize:  d.image.blockSize,
		MaxSectors: scsi.MaxTransfer / d.image.blockSize,
		Serial:     serial,
		WWN:        wwn,
		Removable:  s.options.Removable || s.options.CDROM,
		Contents:   d.image.contents(s.options.kind()),
		Timeout:    cmdTimeout,
	}
}

func (s *service) unit(d *disk, serial, wwn string, ring *tcmu.Device) *scsi.Disk {
	as := s.options.Identity
	o := scsi.Options{
		BlockSize: d.image.blockSize,
		Serial:    cmp.Or(as.Serial, serial),
		NAA:       cmp.Or(as.NAA, strings.TrimPrefix(wwn, "naa.")),
		Vendor:    as.Vendor,
		Product:   as.Product,
		Revision:  as.Revision,
		Removable: s.options.Removable,
		CDROM:     s.options.CDROM,

		Rotational:    as.Rotational,
		WriteThrough:  as.WriteThrough,
		PhysicalBlock: as.PhysicalBlock,

		Nexuses: nexuses(s.fabrics),
		Shared:  shared(s.fabrics),
		Direct:  s.options.Userspace,
		Report:  d.errors.report,
	}
	if ring != nil {
		o.Memory = ring.Spare()
	}
	if s.options.Vhost {
		o.MostBytes = vhostBytes
	}
	return scsi.NewDisk(d.image.presented(&s.options), o)
}

// A handler is a logical unit as the ring sees it: tcmu and scsi do not know each
// other.
type handler struct{ *scsi.Disk }

var (
	_ tcmu.TaskManager = handler{}
	_ tcmu.Settler     = handler{}
)

// Execute implements [tcmu.Handler].
func (h handler) Execute(cdb []byte, data [][]byte, wait bool) (tcmu.Result, error) {
	r, err := h.Disk.Execute(cdb, data, wait)
	if later, ok := err.(*scsi.Later); ok {
		err = &tcmu.Later{After: later.After, Release: later.Release, Execute: func() tcmu.Result { return tcmu.Result(later.Execute(cdb, data)) }}
	} else if err != nil {
		err = tcmu.ErrWouldBlock // scsi returns no other error
	}
	return tcmu.Result(r), err
}
