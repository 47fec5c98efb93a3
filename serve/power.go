package serve

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/lunserve/lunserve/serve/control"
)

// power is that of a disk. The log of what is not flushed lies in memory: a process
// that goes on with the disk of another begins with an empty one.
type power struct {
	outage atomic.Pointer[control.Outage] // or nil

	changing sync.Mutex // held while it is cut or restored, which waits for storage
	cuts     uint64
}

// cutPower cuts the power of the disk: what was not flushed is gone or, with random,
// any part of it.
func (d *disk) cutPower(random bool) error {
	p, cache := &d.power, d.image.cache
	switch {
	case cache == nil && d.image.writes == control.Refused:
		return fmt.Errorf("%s: is read-only: a power cut takes nothing from it", d.image.path)
	case cache == nil:
		return fmt.Errorf("%s: what is not flushed is not known; its lunserve was started without --fault-track", d.image.path)
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	if p.outage.Load() != nil {
		return fmt.Errorf("%s: has no power already", d.image.path)
	}
	outage := new(control.Outage)
	var r *rand.Rand
	if random {
		outage.Seed = d.faults.seed
		r = rand.New(rand.NewPCG(outage.Seed+uint64(d.lun), p.cuts))
	}
	p.cuts++
	d.device.unit.PowerOff()
	lost, err := cache.Cut(r)
	outage.Lost = lost
	p.outage.Store(outage)
	if err != nil {
		return fmt.Errorf("%s: has no power, but is not as a power cut leaves it: %w", d.image.path, err)
	}
	return nil
}

// restorePower ends the power cut.
func (d *disk) restorePower() error {
	p := &d.power
	p.changing.Lock()
	defer p.changing.Unlock()
	if p.outage.Load() == nil {
		return fmt.Errorf("%s: has power", d.image.path)
	}
	d.image.cache.Restore()
	d.device.unit.PowerOn()
	p.outage.Store(nil)
	return nil
}

// errNoPower keeps a disk from being handed over: the program that gets it would give
// it power.
var errNoPower = errors.New("has no power")

// dropPowerless has a disk without power removed without a flush: nothing is to be
// written to it. Otherwise it does nothing.
func (d *disk) dropPowerless() error {
	if d.device.kernel == nil || d.power.outage.Load() == nil {
		return nil
	}
	d.device.halt() // after a reset nothing may use the ring
	return d.device.kernel.Reset()
}

// Power cuts or restores the power of a disk.
func (h host) Power(name string, on, random bool) error {
	d, err := h.disk(name)
	switch {
	case err != nil:
		return err
	case on:
		err = d.restorePower()
	default:
		err = d.cutPower(random)
	}
	if err != nil {
		return err
	}
	if o := d.power.outage.Load(); o != nil {
		h.console.Say("%s: the power is cut; %s", d.title(), o.Sentence())
	} else {
		h.console.Say("%s: the power is back", d.title())
	}
	return nil
}
