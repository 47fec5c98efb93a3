package e2e

import (
	goflag "flag"
	"math/rand/v2"
	"testing"
	"time"
)

var resets = goflag.Duration("resets", 4*time.Second, "how long to reset disks, once a second")

// A reset aborts commands of all LUNs' users. They send them again, see no error and
// read what they wrote.
func TestManyDisksAreResetUnderLoad(t *testing.T) {
	needTarget(t)
	t.Logf("seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 4))
	dir := tmpfsDir(t)
	var images []string
	for range 8 {
		images = append(images, newImage(t, dir, 32<<20))
	}
	s := start(t, images...)
	var users []*verifier
	for _, disk := range s.disks {
		users = append(users, verify(t, disk, "--iodepth=4", "--rate_iops=100", "--fsync=32"))
	}
	for _, disk := range s.disks {
		awaitWrites(t, disk)
	}
	worst, n := time.Duration(0), 0
	for end := time.Now().Add(*resets); time.Now().Before(end); n++ {
		began := time.Now()
		kind := []string{"--device", "--target"}[r.IntN(2)]
		run(t, "sg_reset", "--no-esc", kind, s.disks[r.IntN(len(s.disks))])
		worst = max(worst, time.Since(began))
		time.Sleep(time.Second - time.Since(began))
	}
	t.Logf("%d resets, which took %v at most", n, worst)
	for _, user := range users {
		user.ends()
	}
	s.ends()
}
