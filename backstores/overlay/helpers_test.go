package overlay_test

import (
	"context"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
)

var ctx = context.Background()

func open(t testing.TB, path string, readOnly bool) backstores.Backstore {
	t.Helper()
	s, err := image.Open(ctx, path, image.Options{ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openOverlay opens an overlay over the image at base. Closing it closes both.
func openOverlay(t testing.TB, path, base string) backstores.Backstore {
	t.Helper()
	s, _, err := image.OpenOverlay(ctx, path, open(t, base, true), base, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// snapshot opens a snapshot of the image at base.
func snapshot(t testing.TB, dir, base string) backstores.Backstore {
	t.Helper()
	s, err := image.Snapshot(ctx, open(t, base, true), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
