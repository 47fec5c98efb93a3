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
	d, err := h.disk(name)
	if err == nil {
		_, _, err = d.resize(bytes)
	}
	return err
}

func (h host) Fault(name string, clear bool, texts []string) error {
	rules, err := parseRules(texts)
	if err != nil {
		return err
	}
	d, err := h.disk(name)
	if err != nil {
		return err
	}
	return d.misbehave(clear, rules)
}

// disk returns the disk with a name.
func (h host) disk(name string) (*disk, error) {
	for _, d := range h.disks {
		if d.device.name == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("%s: no longer served", name)
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
