package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/control"
)

// A host answers other processes for a service.
type host struct {
	*service
	detachments chan<- detachment
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

// Disks implements [control.Host].
func (h host) Disks() []control.Disk {
	return h.disks()
}

// Measure implements [control.Host].
func (h host) Measure() (read func() []control.Disk, stop func()) {
	all := newGauges(h.exports)
	return func() []control.Disk {
		disks := h.Disks()
		all.into(disks)
		return disks
	}, all.close
}

// Resize implements [control.Host].
func (h host) Resize(name string, bytes int64) error {
	for _, x := range h.exports {
		if x.device.Name() == name {
			_, _, err := x.resize(bytes)
			return err
		}
	}
	return fmt.Errorf("%s: no longer served", name)
}

// Detach implements [control.Host].
func (h host) Detach(ctx context.Context, force bool) (waitsFor string, err error) {
	answer := make(chan detached, 1)
	select {
	case h.detachments <- detachment{force, answer}:
		d := <-answer
		return d.waitsFor, d.err
	case <-ctx.Done():
		return "", nil // it is ending
	}
}

// errInUse is why disks in use are not detached.
func errInUse(users string) error {
	return hint.With(errors.New(users), hint.Command{Words: []string{"--force"}, Purpose: "to remove it anyway"})
}
