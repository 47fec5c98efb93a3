package image_test

import (
	"os"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// A scratch disk is a store like others, and nobody finds its file.
func TestScratch(t *testing.T) {
	dir := storetest.MemDir(t)
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		s, err := image.Scratch(ctx, storetest.OddSize, dir)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := os.ReadDir(dir); err != nil || len(all) > 0 {
			t.Errorf("%s holds %v: %v", dir, all, err)
		}
		return s
	})
	if s, err := image.Scratch(ctx, 1<<20, dir+"/missing"); err == nil {
		s.Close()
		t.Error("made in a folder that does not exist")
	}
}
