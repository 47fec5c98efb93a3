package scsi

// testUnitReady is SPC-5, TEST UNIT READY command. Its attributes do the work.
func (d *Disk) testUnitReady(request) (int, error) { return 0, nil }

// requestSense is SPC-5, REQUEST SENSE command. Every CHECK CONDITION carries
// its own sense data, so the command returns the sense data that the next
// medium command would fail with.
func (d *Disk) requestSense(r request) (int, error) {
	err := d.medium.unitAttention()
	if r.nexus != nil {
		err = r.nexus.attention()
	}
	if err == nil {
		err = d.ready(media)
	} else {
		d.medium.refresh(&d.sanitizer)
	}
	s, _ := err.(Sense)
	if r.cdb[1]&1 != 0 { // DESC
		return r.reply(s.descriptor(), int(r.cdb[4]))
	}
	return r.reply(s.fixed(), int(r.cdb[4]))
}
