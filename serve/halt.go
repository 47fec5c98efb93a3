package serve

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
)

// haltRings returns when all commands that were taken are completed. A disk whose
// storage hangs must not halt the others, so that has its limit.
func (s *service) haltRings(tooLong <-chan time.Time, back *configfs.Undo) error {
	var halting sync.WaitGroup
	for _, d := range s.disks {
		halting.Go(d.device.halt)
	}
	back.Push(func() error {
		for _, d := range s.disks {
			s.serveRing(d)
		}
		return nil
	})
	halted := make(chan struct{})
	go func() {
		defer close(halted)
		halting.Wait()
	}()
	select {
	case <-halted:
	case <-tooLong:
		return cmp.Or(s.waiting(0), tryAgain(errors.New("commands take too long")))
	}
	if len(s.ringErrs) > 0 {
		return errors.New("a ring has failed")
	}
	return nil
}

// waiting returns an error that names a command which has been waiting for the
// storage for a time, or nil.
func (s *service) waiting(atLeast time.Duration) error {
	now := time.Now()
	for _, d := range s.disks {
		if command, since := d.device.unit.Waiting(now); command != "" && now.Sub(since) >= atLeast {
			return tryAgain(fmt.Errorf("%s: %s has been waiting for the storage for %v", d.image.path, command, now.Sub(since).Round(100*time.Millisecond)))
		}
	}
	return nil
}

func tryAgain(err error) error {
	return hint.With(err, hint.Command{Words: []string{"kill", "-USR2", fmt.Sprint(os.Getpid())}, Purpose: "to upgrade later"})
}
