package serve

import (
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lunserve/lunserve/hint"
)

func TestSlowRemovalNamesWhatTheKernelHasNotFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var warnings []string
		var busy atomic.Value
		busy.Store("flush /dev/sdb")
		r := removal{func() string { return busy.Load().(string) }, func(err error) { warnings = append(warnings, hint.Text(err)) }}
		again := make(chan os.Signal, 1)
		again <- os.Interrupt // as early as this, it needs no words
		err := r.run(again, func() error {
			time.Sleep(4 * time.Second)
			busy.Store("unlink lun_0") // each operation is short, the removal is not
			time.Sleep(4 * time.Second)
			again <- os.Interrupt
			time.Sleep(time.Second)
			busy.Store("")
			again <- os.Interrupt
			time.Sleep(time.Second)
			return os.ErrClosed
		})
		if err != os.ErrClosed {
			t.Errorf("run = %v", err)
		}
		want := []string{
			"still removing disks after 5s; waiting for the kernel to unlink lun_0; try dmesg | tail",
			"still removing disks after 8s; waiting for the kernel to unlink lun_0; try dmesg | tail",
			"still closing images",
		}
		if !slices.Equal(warnings, want) {
			t.Errorf("warnings:\n got %q\nwant %q", warnings, want)
		}
	})
}
