package e2e

import (
	goflag "flag"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	worst, n, kinds := time.Duration(0), 0, kindsOfResets(t)
	for end := time.Now().Add(*resets); time.Now().Before(end); n++ {
		began := time.Now()
		kind := kinds[r.IntN(len(kinds))]
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

// kindsOfResets returns the options of sg_reset that local disks of the running kernel
// have. tcm_loop of Linux 6.12.117 resets no target, whatever the backstore: LIO fileio has
// the same EIO.
func kindsOfResets(t *testing.T) []string {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(unix.ByteSliceToString(name.Release[:]), "6.12.") {
		return []string{"--device"}
	}
	return []string{"--device", "--target"}
}
