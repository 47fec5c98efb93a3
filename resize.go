package main

import (
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/configfs"
)

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

// resize gives each disk the size that its image has now, and says so.
func (s *service) resize() {
	for _, x := range s.exports {
		before, after, err := x.resize(0)
		switch {
		case err != nil:
			warn("%v", oneLine(err))
		case after == before:
			say("%s: is as long as it was, %s", x.title(), humanize.IBytes(uint64(after)))
		default:
			say("%s: is %s now, was %s", x.title(), humanize.IBytes(uint64(after)), humanize.IBytes(uint64(before)))
		}
		if after < before {
			for _, user := range x.users() {
				warn("%s, and what it had after the first %s bytes is gone", user, humanize.Comma(after))
			}
		}
	}
}
