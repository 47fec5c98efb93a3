package image

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// A hollow store is a large disk of small holes. Nobody waits for the last of them:
// stop is called at the third.
type hollow struct {
	*bytes.Reader
	stop    func()
	extents int
}

func (h *hollow) Size() int64  { return 1 << 40 }
func (h *hollow) Close() error { return nil }

func (h *hollow) Extent(off int64) (int64, bool, error) {
	if h.extents++; h.extents == 3 {
		h.stop()
	}
	return 1 << 20, false, nil
}

// An interrupt also ends a search through holes.
func TestInterruptEndsLookingForData(t *testing.T) {
	for name, look := range map[string]func(context.Context, backstores.Backstore) error{
		"copyOut": func(ctx context.Context, s backstores.Backstore) error {
			return copyOut(ctx, nil, s, 1<<20, func(done, total int64) {})
		},
		"dataBytes": func(ctx context.Context, s backstores.Backstore) error {
			_, err := dataBytes(ctx, s)
			return err
		},
	} {
		ctx, stop := context.WithCancel(t.Context())
		s := &hollow{stop: stop}
		if err := look(ctx, s); !errors.Is(err, context.Canceled) || s.extents != 3 {
			t.Errorf("%s: %v after %d extents", name, err, s.extents)
		}
	}
}
