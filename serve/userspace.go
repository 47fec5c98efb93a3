package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/serve/console"
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
	confine  func()     // called before the first connection is accepted
	refused  errorLimit // of logins and sessions
}

// newUserspace reads the CHAP file, and warns of portals without authentication.
func (s *service) newUserspace(ctx context.Context, image string) (*userspace, error) {
	o, c, readOnly := s.options.ISCSI, s.console, s.options.readOnly()
	credentials, err := o.credentials(ctx, readOnly, c)
	if err != nil {
		return nil, err
	}
	f := &userspace{image: image, options: o, console: c, readOnly: readOnly, confine: s.confine}
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
	listeners, err := f.listen(ctx)
	if err != nil {
		return nil, err
	}
	f.confine()
	for _, l := range listeners {
		f.serving.Serve(l)
	}
	for n := range disks {
		all = append(all, iscsiAddress(f.options.Portals[0], f.target.Name, n))
	}
	return all, nil
}

// listen listens at all portals, or at none.
func (f *userspace) listen(ctx context.Context) (all []net.Listener, err error) {
	var config net.ListenConfig
	for _, p := range f.options.Portals {
		l, err := config.Listen(ctx, "tcp", p.String())
		if err != nil {
			for _, l := range all {
				_ = l.Close() // nothing has connected that matters
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func (f *userspace) users(address) []inuse.User { return initiatorUsers(f.serving.Initiators()) }

// shared reports whether several initiators are logged in.
func (f *userspace) shared() bool { return len(f.serving.Initiators()) > 1 }

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
