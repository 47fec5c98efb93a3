package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/tcmu"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// An export is an image on its way to a disk.
type export struct {
	path      string // as it was given
	real      string // absolute
	created   bool   // by us, and not yet shown to anybody
	blockSize int
	removable bool
	format    string               // in words, as it was found
	mode      string               // what becomes of writes
	image     backstores.Backstore // as it was opened
	store     backstores.Backstore // with what is laid over it
	disk      *scsi.Disk
	device    *configfs.Device
	watch     watch
	resizing  sync.Mutex // held by resize
	started   time.Time  // when it could be used

	// By what the disk can be used; each is empty if not in that way. The
	// fabrics set them.
	node        string // such as /dev/sdb
	portal, iqn string // of the iSCSI target
	lun         int    // of every target
	wwpn        string // of the vhost target
}

// uri is what iSCSI initiators take for the disk.
func (x *export) uri() string {
	if x.iqn == "" {
		return ""
	}
	return fmt.Sprintf("iscsi://%s/%s/%d", x.portal, x.iqn, x.lun)
}

// title is what the user knows the disk by.
func (x *export) title() string { return cmp.Or(x.node, x.uri(), x.path) }

// generic is the node for sending the disk any SCSI command.
func (x *export) generic() string {
	if x.node == "" {
		return ""
	}
	return configfs.Generic(x.node)
}

// resize makes the image size bytes long or, if size is 0, takes it as long as
// others have made it, and has all who use the disk told. It returns the sizes
// of the disk, which are whole blocks, before and after. It is safe for
// concurrent use while the disk is served.
func (x *export) resize(size int64) (before, after int64, err error) {
	x.resizing.Lock()
	defer x.resizing.Unlock()
	before = x.disk.Size()
	err = x.disk.Resize(size)
	after = x.disk.Size()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return before, after, fmt.Errorf("%s: stays as long as it is; only raw images without --snapshot and --overlay can be resized", x.path)
	case err != nil:
		return before, after, fmt.Errorf("%s: %w", x.path, err)
	case after == before:
		return before, after, nil
	}
	err = x.device.Resize(after)
	if x.node != "" {
		// This initiator is told in a way that does not wait for its next
		// command. The others are to hear what it was told on that way, too.
		err = errors.Join(err, configfs.Rescan(x.node, after))
		if x.iqn != "" || x.wwpn != "" {
			x.disk.CapacityChanged()
		}
	}
	return before, after, err
}

// lines are what is printed on stdout, by which the disks can be used: the
// paths of all, then all URLs, then the WWPN.
func lines(exports []*export) (all []string) {
	for _, name := range []func(*export) string{
		func(x *export) string { return x.node },
		(*export).uri,
		func(x *export) string { return x.wwpn },
	} {
		for _, x := range exports {
			if line := name(x); line != "" && !slices.Contains(all, line) {
				all = append(all, line)
			}
		}
	}
	return all
}

// abandoned is how old a command is when the kernel answers it itself, with an
// error. That is for disks whose lunserve was killed. Others must not come to
// feel it, and the dirty pages of an image can take minutes to flush: 850 MiB at
// 6.6 MB/s took 128 s (Linux 6.1, null_blk in the VM, 2026-11-26), which after
// 60 s was an I/O error for who waited. What initiators do by then is to ask for
// an abort, which waits, and to send the command again.
const abandoned = 5 * time.Minute

// attach makes the kernel's side of the disk and serves it, as a LUN of no
// target yet. What goes wrong with it from then on is told to s.
func (x *export) attach(ctx context.Context, s *service, down *undo) error {
	id, err := configfs.NewIdentity(ctx, x.path)
	if err != nil {
		return err
	}
	defer id.Close() // the device has it by then
	x.disk = scsi.NewDisk(x.store, scsi.Options{
		BlockSize: x.blockSize,
		Serial:    id.Serial,
		NAA:       strings.TrimPrefix(id.WWN, "naa."),
		Removable: x.removable,
		Nexuses:   nexuses(s.fabrics),
		Report:    s.report,
	})
	x.device, err = configfs.NewDevice(configfs.Spec{
		Image:      x.real,
		Size:       x.store.Size() / int64(x.blockSize) * int64(x.blockSize),
		BlockSize:  x.blockSize,
		MaxSectors: scsi.MaxTransfer / x.blockSize,
		Serial:     id.Serial,
		Timeout:    abandoned,
	})
	if err != nil {
		return err
	}
	down.push(x.device.Close)
	// Disks of a machine whose /var cannot be written do without.
	if kept, err := configfs.KeepReservations(id.Serial); err == nil {
		down.push(kept.Close)
	}

	ring, err := tcmu.Open(x.device.UIO)
	if err != nil {
		return err
	}
	down.push(ring.Close)
	x.watch.ring = ring
	x.watch.want(0) // a trace has wanted it from the start

	// Not a child of the command's context: a signal must not stop the ring
	// before the LUN is gone.
	serving, halt := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := ring.Serve(serving, handler{x.disk}); err != nil {
			s.failed <- fmt.Errorf("%s: %w", filepath.Base(x.path), err)
			// Nobody will answer; without this the LUN could not be removed.
			if err := x.device.Reset(); err != nil {
				warn("%v", err)
			}
		}
	}()
	down.push(func() error {
		halt()
		x.disk.Close() // first: a SANITIZE would keep its worker, if no target came up
		<-done
		return nil
	})
	return nil
}

// A handler is a disk as a [tcmu.Handler] and a [tcmu.TaskManager].
type handler struct{ *scsi.Disk }

var _ tcmu.TaskManager = handler{}

func (h handler) Execute(cdb []byte, data [][]byte, wait bool) (tcmu.Result, error) {
	r, err := h.Disk.Execute(cdb, data, wait)
	if err != nil {
		err = tcmu.ErrWouldBlock
	}
	return tcmu.Result(r), err
}
