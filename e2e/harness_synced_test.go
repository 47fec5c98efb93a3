package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A syncer writes numbered files, and syncs each through the descriptor by which
// it was written.
type syncer struct {
	dir   string
	begun chan struct{} // closed when the first file is synced
	ended chan struct{}
	files int // how many are synced
}

// startSyncing writes files in dir until that fails, as it does when the disk goes.
// It returns when the first is synced.
func startSyncing(t *testing.T, dir string) *syncer {
	t.Helper()
	s := &syncer{dir: dir, begun: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		for s.writeNext() == nil {
			if s.files++; s.files == 1 {
				close(s.begun)
			}
		}
	}()
	select {
	case <-s.begun:
	case <-s.ended:
		t.Fatalf("%s: cannot write and sync a file", dir)
	}
	return s
}

// writeNext writes and syncs the next file.
func (s *syncer) writeNext() error {
	f, err := os.OpenFile(s.path(s.files), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(syncedData(s.files))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func (s *syncer) path(i int) string { return filepath.Join(s.dir, fmt.Sprint(i)) }

func syncedData(i int) []byte { return noise(8<<10, byte(i)) }

// whole fails t unless each file that was synced is in dir.
func (s *syncer) whole(t *testing.T, dir string) {
	t.Helper()
	<-s.ended
	wholeFiles(t, dir, s.files)
}

// wholeFiles fails t unless the first n files are in dir.
func wholeFiles(t *testing.T, dir string, n int) {
	t.Helper()
	if bad := brokenFiles(dir, n); bad != "" {
		t.Error(bad)
	}
}

// brokenFiles names those of the first n files that are not in dir as they were synced.
func brokenFiles(dir string, n int) string {
	var bad []string
	for i := range n {
		if got, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i))); err != nil || string(got) != string(syncedData(i)) {
			bad = append(bad, fmt.Sprintf("%d (%d bytes, %v)", i, len(got), err))
		}
	}
	if len(bad) == 0 {
		return ""
	}
	return fmt.Sprintf("of %d files that were synced, these are not whole: %s", n, strings.Join(bad, ", "))
}
