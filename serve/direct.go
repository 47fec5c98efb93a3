package serve

import (
	"fmt"
	"sync/atomic"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/tcmu"
)

// attachDirectly makes the unit of a disk that no kernel knows.
func (s *service) attachDirectly(d *disk) error {
	use := fmt.Sprintf("%s LUN %d", s.fabrics[0].(*userspace).use(), d.lun)
	serial, err := configfs.Serial(d.image.identity, use)
	if err != nil {
		return err
	}
	wwn, err := configfs.WWN(d.image.identity, use)
	if err != nil {
		return err
	}
	d.device = &device{
		name: configfs.DiskName(d.image.abs, serial[:8]),
		unit: s.unit(d, serial, wwn, nil),
	}
	d.watch.attach(new(slot))
	return nil
}

// A slot is where the watcher of a disk is that has no ring.
type slot struct{ watcher atomic.Pointer[tcmu.Watcher] }

// SetWatcher is [tcmu.Device.SetWatcher].
func (s *slot) SetWatcher(w tcmu.Watcher) {
	if w == nil {
		s.watcher.Store(nil)
		return
	}
	s.watcher.Store(&w)
}
