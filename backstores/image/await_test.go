package image

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lunserve/lunserve/hint"
)

// When storage hangs the caller gets an error, and what the job opens in the end
// is released.
func TestLateResultIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		storage := make(chan struct{})
		released := 0
		go cancel()
		_, err := await(ctx, "disk.img", func() (int, error) {
			<-storage
			return 7, nil
		}, func(n int) { released += n })
		if !errors.Is(err, context.Canceled) || err.Error() != "disk.img: interrupted; its storage does not answer" {
			t.Errorf("error %v", err)
		}
		close(storage)
		synctest.Wait()
		if released != 7 {
			t.Errorf("released %d, want 7", released)
		}
	})
}

// A job that ends in time returns its own result, even after the interruption.
func TestResultInTimeIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n, err := await(ctx, "disk.img", func() (int, error) {
			cancel()
			synctest.Wait()
			return 7, nil
		}, func(int) { t.Error("the result is released") })
		if n != 7 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		_, err = await(ctx, "disk.img", func() (int, error) { return 0, ctx.Err() }, func(int) {})
		if !errors.Is(err, context.Canceled) || hint.Text(err) != "disk.img: interrupted" {
			t.Errorf("error %v", err)
		}
	})
}

// An interrupted Open leaves neither a lock nor the file that it created.
func TestInterruptedOpenLeavesNothing(t *testing.T) {
	path := t.TempDir() + "/new.img"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		s, err := open(ctx, path, Options{Create: 4096})
		if s != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", s, err)
		}
	}
	s, err := Open(t.Context(), path, Options{})
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v, %v", s, err)
	}
}
