package image_test

import (
	"context"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
)

var (
	ctx     = context.Background()
	reading = image.Options{ReadOnly: true}
	writing = image.Options{}
)

// open opens path until the end of the test.
func open(t testing.TB, path string, o image.Options) backstores.Backstore {
	t.Helper()
	s, err := image.Open(ctx, path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// openOverlay opens an overlay over the image at base. Closing it closes both.
func openOverlay(t testing.TB, path, base string) backstores.Backstore {
	t.Helper()
	b, err := image.Open(ctx, base, reading)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := image.OpenOverlay(ctx, path, b, base, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
