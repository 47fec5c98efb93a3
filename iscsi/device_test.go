package iscsi_test

import (
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

const targetName = "iqn.2001-04.com.example:disk"

// A device has disks of package scsi, as serve has.
type device struct{ *scsi.Target }

func (d device) Attach(port string) iscsi.Nexus { return nexus{d.Target.Attach(port)} }

type nexus struct{ *scsi.Nexus }

func (n nexus) Execute(lun uint64, cdb []byte, data [][]byte, wait bool) (iscsi.Result, error) {
	r, err := n.Nexus.Execute(lun, cdb, data, wait)
	if l, ok := err.(*scsi.Later); ok {
		err = later(l)
	} else if err != nil {
		err = iscsi.ErrWouldBlock
	}
	return result(r), err
}

func (n nexus) Judge(lun uint64, cdb []byte, data [][]byte) *iscsi.Later {
	if l := n.Nexus.Judge(lun, cdb, data); l != nil {
		return later(l)
	}
	return nil
}

func later(l *scsi.Later) *iscsi.Later {
	return &iscsi.Later{After: l.After, Release: l.Release, Execute: func(cdb []byte, data [][]byte) iscsi.Result {
		return result(l.Execute(cdb, data))
	}}
}

func result(r scsi.Result) iscsi.Result {
	return iscsi.Result{Status: r.Status, Length: r.DataIn, Sense: r.Sense}
}

func (n nexus) Executed(uint64, []byte, [][]byte, iscsi.Result, time.Duration) {}

func (n nexus) Manage(f iscsi.Function, lun uint64) bool {
	switch f {
	case iscsi.LogicalUnitReset:
		return n.Reset(lun)
	case iscsi.TargetWarmReset, iscsi.TargetColdReset:
		n.ResetAll()
		return true
	}
	return n.Abort(lun)
}

// newStore returns a store of zeros in a file.
func newStore(t testing.TB, size int64, readOnly bool) backstores.Backstore {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	store, err := image.Open(t.Context(), path, image.Options{Format: image.Raw, ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// serve serves disks at two portals until the end of the test, and returns them.
func serve(t testing.TB, o iscsi.Options, disks ...*scsi.Disk) (target *iscsi.Target, portals []string) {
	t.Helper()
	o.Name, o.Device = targetName, device{scsi.NewTarget(disks...)}
	if o.Report == nil {
		o.Report = func(err error) { t.Log(err) }
	}
	var ended atomic.Bool
	report := o.Report
	o.Report = func(err error) {
		if !ended.Load() {
			report(err)
		}
	}
	target = iscsi.New(o)
	t.Cleanup(func() {
		ended.Store(true)
		for _, d := range disks {
			d.Close()
		}
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		target.Serve(l)
		portals = append(portals, l.Addr().String())
	}
	return target, portals
}

func newDisk(store backstores.Backstore, o scsi.Options) *scsi.Disk {
	o.Direct, o.Serial, o.NAA = true, "0123456789abcdef", "5001405012345678"
	if o.BlockSize == 0 {
		o.BlockSize = 512
	}
	return scsi.NewDisk(store, o)
}
