package raw_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

func TestRawDevice(t *testing.T) {
	for _, block := range []string{"512", "4096"} {
		t.Run(block, func(t *testing.T) {
			dev, _ := storetest.Loop(t, 2<<20, "--sector-size", block)
			storetest.Run(t, func(t testing.TB) backstores.Backstore {
				s, err := raw.Open(context.Background(), dev, raw.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if s.Size() != 2<<20 {
					t.Fatalf("Size() = %d, want 2 MiB", s.Size())
				}
				return s
			})
		})
	}
}

func TestTrimOfLoopDevicePunchesItsFile(t *testing.T) {
	dev, file := storetest.Loop(t, 8<<20)
	s := open(t, dev, writing)
	allocated := func() int64 {
		if err := backstores.Flush(s); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if err := backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{1}, 8<<20)}, 0, 0); err != nil {
		t.Fatal(err)
	}
	if n := allocated(); n < 8<<20 {
		t.Fatalf("%d bytes allocated of 8 MiB written", n)
	}
	if err := backstores.Trim(s, 1<<20, 4<<20); err != nil {
		t.Fatal(err)
	}
	if n := allocated(); n > 5<<20 {
		t.Errorf("after Trim of 4 MiB of 8, %d bytes are allocated", n)
	}
}

func TestDeviceReadOnly(t *testing.T) {
	dev, _ := storetest.Loop(t, 1<<20, "--read-only")
	open(t, dev, reading).Close()
	_, err := raw.Open(context.Background(), dev, writing)
	// Some kernels fail the open, others do not.
	for _, want := range []string{
		"PATH: is a read-only device; try --read-only",
		"PATH: cannot be opened for writing: read-only file system; try --read-only",
	} {
		if err != nil && hint.Text(err) == strings.ReplaceAll(want, "PATH", dev) {
			return
		}
	}
	storetest.WantError(t, err, dev, "PATH: cannot be opened for writing: permission denied; try --read-only")
}

func TestDeviceWithoutMedium(t *testing.T) {
	storetest.NeedRoot(t)
	// A loop device without a backing file has no size.
	dev := storetest.Command(t, "losetup", "--find")
	_, err := raw.Open(context.Background(), dev, reading)
	storetest.WantError(t, err, dev, "PATH: is empty, a device without a medium")
}

func TestDeviceInUseNamesTheMount(t *testing.T) {
	dev, _ := storetest.Loop(t, 16<<20)
	storetest.Command(t, "mkfs.ext4", "-q", dev)
	dir := storetest.Mount(t, dev, "ext4", unix.MS_RDONLY, "")
	_, err := raw.Open(context.Background(), dev, writing)
	storetest.WantError(t, err, dev, "PATH: mounted on "+dir+": device or resource busy; try umount "+dir+" if nothing needs it")
	open(t, dev, reading) // does not harm the mount
}

func TestDeviceInUseNamesTheProcess(t *testing.T) {
	dev, _ := storetest.Loop(t, 1<<20)
	pid, release := hold(t, dev, false)
	want := fmt.Sprintf("PATH: locked by %s (pid %d)", storetest.ProcessName(t), pid)
	_, err := raw.Open(context.Background(), dev, writing)
	storetest.WantError(t, err, dev, want)
	_, err = raw.Open(context.Background(), dev, reading)
	storetest.WantError(t, err, dev, want)
	release()

	pid, release = hold(t, dev, true)
	_, err = raw.Open(context.Background(), dev, writing)
	storetest.WantError(t, err, dev, fmt.Sprintf("PATH: locked by %s (pid %d); try --read-only", storetest.ProcessName(t), pid))
	open(t, dev, reading).Close()
	release()
	open(t, dev, writing)
}

func TestDeviceInUseWithoutALock(t *testing.T) {
	dev, _ := storetest.Loop(t, 1<<20)
	f, err := os.OpenFile(dev, os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = raw.Open(context.Background(), dev, writing)
	storetest.WantError(t, err, dev, "PATH: device or resource busy; try lsof PATH")
}

func TestDeviceOfAnotherSizeThanAsked(t *testing.T) {
	dev, _ := storetest.Loop(t, 1<<20)
	_, err := raw.Open(context.Background(), dev, raw.Options{Create: 2 << 20})
	storetest.WantError(t, err, dev, "PATH: exists and has 1048576 bytes, not 2097152; leave out --size to serve it as it is")
	open(t, dev, raw.Options{Create: 1 << 20})
}
