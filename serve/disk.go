package serve

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
)

// A disk is an image served as one LUN.
type disk struct {
	lun      int
	image    *openedImage
	orphan   *orphan // to be adopted, or nil
	device   *device // once it is attached
	address  address // once the targets are up
	mounted  string  // where its file system is, or empty
	watch    watch
	errors   errorLimit
	faults   faults
	power    power
	stall    stall
	started  time.Time // when it became usable
	resizing sync.Mutex
}

// newDisk returns a disk whose image sends its errors to errs.
func newDisk(lun int, img *openedImage, errs chan<- error) *disk {
	return &disk{lun: lun, image: img, errors: errorLimit{image: img.path, to: errs}, stall: stall{image: img.path, try: image.Doctor(img.base)}}
}

// title returns the name by which the user knows the disk.
func (d *disk) title() string { return cmp.Or(d.address.node, d.address.uri(), d.image.path) }

// resize sets the length of the image or, if bytes is 0, adopts its present
// length, and notifies the initiators. It returns the sizes of the disk before
// and after, in bytes of whole blocks. It is safe for concurrent use while the
// disk is served.
func (d *disk) resize(bytes int64) (before, after int64, err error) {
	d.resizing.Lock()
	defer d.resizing.Unlock()
	unit := d.device.unit
	before = unit.Size()
	if unit.CDROM {
		return before, before, fmt.Errorf("%s: a CD-ROM cannot be resized", d.image.path)
	}
	err = unit.Resize(bytes)
	after = unit.Size()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return before, after, fmt.Errorf("%s: cannot be resized; only raw images without --snapshot and --overlay can", d.image.path)
	case err != nil:
		return before, after, fmt.Errorf("%s: %w", d.image.path, err)
	case after == before || d.device.kernel == nil:
		return before, after, nil
	}
	err = d.device.kernel.Resize(after)
	if d.address.node != "" {
		// Have the local initiator read the size now, not at its next command.
		// That consumes the unit attention, so raise it again for the others.
		err = errors.Join(err, configfs.Rescan(d.address.node, after))
		if d.address.iqn != "" || d.address.wwpn != "" {
			unit.CapacityChanged()
		}
	}
	return before, after, err
}
