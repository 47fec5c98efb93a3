package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/lunserve/lunserve/hint"
)

func TestInterruptedStartSaysSoAndNoMore(t *testing.T) {
	signal := errors.New("interrupt signal received")
	ctx, cancel := context.WithCancelCause(t.Context())
	waited := hint.Try(fmt.Errorf("no disk was announced at SCSI address 3:0:1:0: %w", signal), "dmesg")
	if err := interruption(ctx, waited); err != waited {
		t.Errorf("without a signal: %v", err)
	}
	cancel(signal)
	if got := hint.Text(interruption(ctx, waited)); got != "interrupted before the disks were ready" {
		t.Error(got)
	}
	if err := interruption(ctx, fs.ErrExist); err != fs.ErrExist {
		t.Errorf("another error: %v", err)
	}
	if err := interruption(ctx, nil); err != nil {
		t.Error(err)
	}
}
