package serve

import (
	"context"
	"fmt"

	"github.com/lunserve/lunserve/serve/control"
)

// A host answers other processes for a service; it implements [control.Host].
type host struct {
	*service
}

// A detachment asks the service to end. It is answered once.
type detachment struct {
	force  bool
	answer chan<- detached
}

type detached struct {
	waitsFor string
	err      error
}

func (h host) Disks() []control.Disk { return h.statesWithUsers() }

func (h host) Measure() (read func() []control.Disk, stop func()) {
	each := measureEach(h.disks)
	return func() []control.Disk {
		all := h.statesWithUsers()
		each.into(all)
		return all
	}, each.stop
}

func (h host) Resize(name string, bytes int64) error {
	for _, d := range h.disks {
		if d.device.name == name {
			_, _, err := d.resize(bytes)
			return err
		}
	}
	return fmt.Errorf("%s: no longer served", name)
}

func (h host) Detach(ctx context.Context, force bool) (waitsFor string, err error) {
	answer := make(chan detached, 1)
	select {
	case h.detachments <- detachment{force, answer}:
		d := <-answer
		return d.waitsFor, d.err
	case <-ctx.Done():
		if err := context.Cause(ctx); err != context.Canceled {
			return "", err
		}
		return "", nil // it is ending
	}
}
