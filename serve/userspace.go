package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/tcmu"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// userspace makes an iSCSI target in this process.
type userspace struct {
	image    string // the first, which names the target
	readOnly bool
	options  *ISCSI
	target   iscsi.Options
	serving  *iscsi.Target
	console  *console.Console
	refused  errorLimit // of logins and sessions
}

// newUserspace reads the CHAP file, and warns of portals without authentication.
func (s *service) newUserspace(ctx context.Context, image string) (*userspace, error) {
	o, c, readOnly := s.options.ISCSI, s.console, s.options.ReadOnly
	credentials, err := o.credentials(ctx, readOnly, c)
	if err != nil {
		return nil, err
	}
	f := &userspace{image: image, options: o, console: c, readOnly: readOnly}
	f.refused = errorLimit{image: "iSCSI", to: s.imageErrs}
	f.target = iscsi.Options{Name: o.IQN, CHAP: (*iscsi.CHAP)(credentials), Report: f.refused.report}
	for _, name := range o.Allow {
		f.target.Allow = append(f.target.Allow, strings.ToLower(name))
	}
	return f, nil
}

func (f *userspace) kind() string { return "userspace" }

// adopt is not called: nothing is left of a process that was killed.
func (f *userspace) adopt(string) error { return errors.ErrUnsupported }

// check also chooses the target's name. It contains the portal, where only one process
// can listen.
func (f *userspace) check() (err error) {
	for _, p := range f.options.Portals {
		if err := configfs.CheckPortal(p); err != nil {
			return err
		}
	}
	if f.target.Name == "" {
		f.target.Name, err = configfs.IQN(f.image, f.use())
	}
	return err
}

// use distinguishes the target and its units from others of the same image.
func (f *userspace) use() string { return fmt.Sprint("userspace ", f.options.Portals[0]) }

func (f *userspace) up(ctx context.Context, disks []*disk, down, _ *configfs.Undo) (all []address, err error) {
	if err := f.options.warnOfUsers(disks, f.readOnly); err != nil {
		f.console.Warn(err)
	}
	d := directDevice{}
	var units []*scsi.Disk
	for _, disk := range disks {
		units = append(units, disk.device.unit)
		d.slots = append(d.slots, disk.watch.of.(*slot))
	}
	d.Target = scsi.NewTarget(units...)
	f.target.Device = d
	f.serving = iscsi.New(f.target)
	// The images stay open until all sessions have ended: each of them may use
	// each disk.
	closed := sync.OnceValue(func() error {
		defer configfs.Begin("complete the commands of initiators")()
		return f.serving.Close()
	})
	for n := range disks {
		down.For(lunName(n)).Push(closed)
	}
	var config net.ListenConfig
	for _, p := range f.options.Portals {
		l, err := config.Listen(ctx, "tcp", p.String())
		if err != nil {
			return nil, err
		}
		f.serving.Serve(l)
	}
	for n := range disks {
		all = append(all, iscsiAddress(f.options.Portals[0], f.target.Name, n))
	}
	return all, nil
}

func (f *userspace) users(address) []inuse.User { return initiatorUsers(f.serving.Initiators()) }

// shared reports whether several initiators are logged in.
func (f *userspace) shared() bool { return len(f.serving.Initiators()) > 1 }

// attachDirectly makes the unit of a disk that no kernel knows.
func (s *service) attachDirectly(d *disk) error {
	use := fmt.Sprintf("%s LUN %d", s.fabrics[0].(*userspace).use(), d.lun)
	serial, err := configfs.Serial(d.image.path, use)
	if err != nil {
		return err
	}
	wwn, err := configfs.WWN(d.image.path, use)
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

// A directDevice is the disks as package iscsi sees them: iscsi and scsi do not know
// each other.
type directDevice struct {
	*scsi.Target
	slots []*slot
}

// Attach implements [iscsi.Device].
func (d directDevice) Attach(port string) iscsi.Nexus {
	return directNexus{d.Target.Attach(port), d.slots}
}

type directNexus struct {
	*scsi.Nexus
	slots []*slot
}

// Execute implements [iscsi.Nexus].
func (n directNexus) Execute(lun uint64, cdb []byte, data [][]byte, wait bool) (iscsi.Result, error) {
	r, err := n.Nexus.Execute(lun, cdb, data, wait)
	if err != nil {
		err = iscsi.ErrWouldBlock // scsi returns no other error
	}
	return iscsi.Result{Status: r.Status, Length: r.DataIn, Sense: r.Sense}, err
}

// Executed implements [iscsi.Nexus].
func (n directNexus) Executed(lun uint64, cdb []byte, data [][]byte, r iscsi.Result, took time.Duration) {
	i := scsi.Number(lun)
	if i < 0 || i >= len(n.slots) {
		return
	}
	if w := n.slots[i].watcher.Load(); w != nil {
		(*w).Watch(cdb, data, tcmu.Result{Status: r.Status, DataIn: r.Length, Sense: r.Sense}, took)
	}
}

// Manage implements [iscsi.Nexus].
func (n directNexus) Manage(f iscsi.Function, lun uint64) bool {
	switch f {
	case iscsi.LogicalUnitReset:
		return n.Reset(lun)
	case iscsi.TargetWarmReset, iscsi.TargetColdReset:
		n.ResetAll()
		return true
	}
	return n.Abort(lun)
}

// userspaceInstead adds the way to serve without the kernel to an error of the kernel,
// unless something is asked for that only the kernel can do.
func (o *Options) userspaceInstead(err error) error {
	if o.Vhost || o.Restart || o.ISCSI != nil && o.Loopback {
		return err
	}
	var try []hint.Command
	if h, ok := err.(*hint.Hint); ok {
		err, try = h.Err, h.Try // that goes first
	}
	return hint.With(err, append(try, hint.Command{Words: []string{"--userspace"}, Purpose: "to serve iSCSI without the kernel"})...)
}
