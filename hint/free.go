package hint

import (
	"os"
	"path/filepath"
)

// Free returns path or, if a file has that name, a similar name in the same
// folder that no file has. The output of each command in a hint has such a
// name: qemu-img, shells and zstd replace what is there.
func Free(path string) string {
	for {
		if _, err := os.Lstat(path); err != nil { // also if no file can have the name
			return path
		}
		path = filepath.Join(filepath.Dir(path), "NEW-"+filepath.Base(path))
	}
}
