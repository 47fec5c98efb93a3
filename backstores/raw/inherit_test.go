package raw_test

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// The next program of a process has the open file of the one before, and with it
// the locks and the size that initiators know. Whatever is at the path does not
// matter.
func TestInheritedImageStaysLocked(t *testing.T) {
	for _, o := range []raw.Options{reading, writing} {
		path := storetest.NewFile(t, t.TempDir(), 8192)
		before := open(t, path, o).(interface{ Fd() int })
		fd, err := unix.FcntlInt(uintptr(before.Fd()), unix.F_DUPFD_CLOEXEC, 3)
		if err == nil {
			err = os.Rename(path, path+".moved")
		}
		if err == nil {
			err = os.Truncate(path+".moved", 1<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := raw.Inherit(path, fd, 8192, o.ReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		before.(interface{ Close() error }).Close()
		if s.Size() != 8192 {
			t.Errorf("it has %d bytes", s.Size())
		}
		if _, err := raw.Open(context.Background(), path+".moved", writing); err == nil {
			t.Error("the locks are gone")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		open(t, path+".moved", writing)
	}
}
