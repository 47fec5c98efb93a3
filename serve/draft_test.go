package serve

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Until a draft is published there is neither a new file nor a change of the old one.
// If it is dropped instead, nothing is left.
func TestDraftGetsItsNameLater(t *testing.T) {
	for _, old := range []string{"", "12\n"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "pid")
		if old != "" {
			put(t, path, old)
		}
		for _, publish := range []bool{false, true} {
			d := pidFiles.draft(path, []byte("34\n"))
			if d.err != nil || d.file == nil {
				t.Fatalf("%+v", d)
			}
			wantFile(t, path, old)
			if !publish {
				d.drop()
				wantFile(t, path, old)
				continue
			}
			f, err := d.publish()
			if err != nil {
				t.Fatal(err)
			}
			d.drop() // which is too late
			wantFile(t, path, "34\n")
			if err := f.remove(); err != nil {
				t.Error(err)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left are %v, %v", left, err)
		}
	}
}

// Where a folder is missing, that shows before anything is made.
func TestDraftNeedsItsFolder(t *testing.T) {
	if d := pidFiles.draft(filepath.Join(t.TempDir(), "missing", "pid"), nil); !errors.Is(d.err, fs.ErrNotExist) {
		t.Errorf("the error is %v", d.err)
	}
	d := pidFiles.draft("/dev/null", []byte("34\n"))
	if d.err != nil || d.file != nil {
		t.Errorf("there is a file beside a stream: %+v", d)
	}
	f, err := d.publish()
	if err != nil || f.name != nil {
		t.Errorf("published is %+v, %v", f, err)
	}
}
