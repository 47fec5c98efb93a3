package cli

// checkCDROM refuses what a CD-ROM cannot be.
func (c *serveCmd) checkCDROM() error {
	switch {
	case !c.CDROM:
	case c.Overlay != "" || c.Snapshot:
		return misuse("--cdrom is read-only; leave out --overlay and --snapshot")
	case c.Size > 0 || len(c.Scratch) > 0:
		return misuse("--cdrom is for an image that exists; leave out --size and --scratch")
	case c.Track:
		return misuse("--fault-track is for writes, which --cdrom refuses; leave out one of them")
	case c.Rotational || c.NoWriteCache:
		return misuse("--rotational and --no-write-cache are for disks; leave them out with --cdrom")
	}
	return nil
}
