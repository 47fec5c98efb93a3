package e2e

import (
	"sync"
	"testing"
)

// fio writes and verifies two disks while other programs send them commands.
func TestDisksUnderStress(t *testing.T) {
	needTarget(t)
	dir := ext4Dir(t)
	images := []string{newImage(t, dir, 16<<20), newImage(t, dir, 16<<20)}
	s := start(t, images...)

	busy := make(chan struct{})
	var writers, askers sync.WaitGroup
	for _, disk := range s.disks {
		writers.Go(func() {
			if out, err := try(t, "fio", fioJob(disk, "--bsrange=512-128k", "--io_size=12m", "--fsync=64")...); err != nil {
				t.Errorf("fio on %s: %v\n%s", disk, err, out)
			}
		})
		try(t, "sg_turs", disk) // takes the unit attention: REPORTED LUNS DATA HAS CHANGED
		for _, ask := range [][]string{{"sg_turs", "--num=20", disk}, {"sg_inq", disk}} {
			askers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-busy:
						t.Logf("%v: %d times", ask, n)
						return
					default:
						if out, err := try(t, ask[0], ask[1:]...); err != nil {
							t.Errorf("%v: %v\n%s", ask, err, out)
							return
						}
					}
				}
			})
		}
	}
	writers.Wait()
	close(busy)
	askers.Wait()
	s.ends()
	for i := range s.disks {
		if out, err := try(t, "fio", fioJob(images[i], "--bsrange=512-128k", "--io_size=12m", "--verify_only", "--direct=0")...); err != nil {
			t.Errorf("fio on image %d: %v\n%s", i, err, out)
		}
	}
}
