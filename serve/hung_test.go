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
		w := kernelWork{doing: "removing disks", otherwise: "still closing images", warn: func(err error) { warnings = append(warnings, hint.Text(err)) }}
		w.busy = func(atLeast time.Duration) []string {
			if what := busy.Load().(string); what != "" && atLeast == 0 {
				return []string{what}
			}
			return nil
		}
		again := make(chan os.Signal, 1)
		again <- os.Interrupt // as early as this, it needs no words
		err := w.run(again, func() error {
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

// Each is named once, though others finish.
func TestEachOperationThatHangsIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var warnings []string
		start := time.Now()
		w := kernelWork{
			doing: "making disks",
			warn:  func(err error) { warnings = append(warnings, hint.Text(err)) },
			try:   hint.Command{Words: []string{"kill", "-KILL", "1"}, Purpose: "to remove them by force"},
			busy: func(atLeast time.Duration) (all []string) {
				for _, op := range []struct {
					what       string
					begin, end time.Duration
				}{{"mkdir a", 0, time.Hour}, {"mkdir b", 500 * time.Millisecond, 2 * time.Second}, {"mkdir c", 2500 * time.Millisecond, time.Hour}} {
					if now := time.Since(start); now < op.end && now-op.begin >= atLeast {
						all = append(all, op.what)
					}
				}
				return all
			},
		}
		if err := w.run(nil, func() error { time.Sleep(time.Minute); return os.ErrClosed }); err != os.ErrClosed {
			t.Errorf("run = %v", err)
		}
		want := []string{
			"still making disks after 5s; waiting for the kernel to mkdir a; try dmesg | tail, or kill -KILL 1 to remove them by force",
			"still making disks after 8s; waiting for the kernel to mkdir c; try dmesg | tail, or kill -KILL 1 to remove them by force",
		}
		if !slices.Equal(warnings, want) {
			t.Errorf("warnings:\n got %q\nwant %q", warnings, want)
		}
	})
}

// Opening an image may take long, and has messages of its own.
func TestSlowStartOutsideTheKernelNeedsNoWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := kernelWork{busy: func(time.Duration) []string { return nil }, warn: func(err error) { t.Error(err) }}
		_ = w.run(nil, func() error { time.Sleep(time.Minute); return nil })
	})
}
