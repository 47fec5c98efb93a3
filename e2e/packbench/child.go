package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
)

// child reads an image as lunserve does when it serves one: what is "first", "all",
// "apart" or "small".
func child(what, path string) error {
	store, err := image.Open(context.Background(), path, image.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer store.Close()
	switch what {
	case "first":
		off := store.Size() / 4
		if _, data, err := backstores.Extent(store, off); err != nil || !data {
			return errors.Join(err, fmt.Errorf("no data at %d", off))
		}
		return backstores.ReadVec(store, [][]byte{make([]byte, 1)}, off, 0)
	case "all":
		return readAll(store)
	case "apart":
		return readApart(store)
	case "small":
		return timeSmall(store)
	}
	return fmt.Errorf("cannot %q", what)
}

func readAll(store backstores.Backstore) error {
	p := make([]byte, 1<<20)
	for off := int64(0); off < store.Size(); off += int64(len(p)) {
		p = p[:min(int64(len(p)), store.Size()-off)]
		if err := backstores.ReadVec(store, [][]byte{p}, off, 0); err != nil {
			return err
		}
	}
	return nil
}

// timeSmall times reads of 4 KiB, at least a frame apart so that each needs another
// frame, and then reads of frames that are cached.
func timeSmall(store backstores.Backstore) error {
	const apart, most = 4 << 20, 240
	var offs []int64
	for off := int64(0); off+apart < store.Size(); off += apart {
		at := off + rand.Int64N(apart/2)&^4095
		_, full, err := backstores.Extent(store, at)
		if err != nil {
			return err
		}
		if full {
			offs = append(offs, at)
		}
	}
	rand.Shuffle(len(offs), func(i, j int) { offs[i], offs[j] = offs[j], offs[i] })
	offs = offs[:min(len(offs), most)]
	for _, round := range []struct {
		name string
		offs []int64
	}{
		{"4 KiB here and there", offs},
		{"4 KiB that are cached", offs[len(offs)*3/4:]},
	} {
		p, times := [][]byte{make([]byte, 4096)}, []time.Duration{}
		for _, off := range round.offs {
			start := time.Now()
			if err := backstores.ReadVec(store, p, off, 0); err != nil {
				return err
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		row(round.name, times[len(times)/2], "1 of 20 over %v", times[len(times)*19/20])
	}
	return nil
}
