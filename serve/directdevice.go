package serve

import (
	"time"

	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/tcmu"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

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
	if later, ok := err.(*scsi.Later); ok {
		err = directLater(later)
	} else if err != nil {
		err = iscsi.ErrWouldBlock // scsi returns no other error
	}
	return directResult(r), err
}

// Judge implements [iscsi.Nexus].
func (n directNexus) Judge(lun uint64, cdb []byte, data [][]byte) *iscsi.Later {
	later := n.Nexus.Judge(lun, cdb, data)
	if later == nil {
		return nil
	}
	return directLater(later)
}

func directLater(l *scsi.Later) *iscsi.Later {
	return &iscsi.Later{After: l.After, Release: l.Release, Execute: func(cdb []byte, data [][]byte) iscsi.Result {
		return directResult(l.Execute(cdb, data))
	}}
}

func directResult(r scsi.Result) iscsi.Result {
	return iscsi.Result{Status: r.Status, Length: r.DataIn, Sense: r.Sense}
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
