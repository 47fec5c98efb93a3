package contents

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The tools that make partitions and file systems, and Volumes, agree.
func TestVolumesAreFound(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       []string
	}{
		{"nothing", "truncate -s 4M disk", []string{"unknown"}},
		{"file system", "truncate -s 4M disk; mkfs.ext4 -q -L tools disk", []string{`ext4 "tools"`}},
		{"GPT", "truncate -s 8M disk; printf 'label: gpt\n,4M\n,\n' | sfdisk -q disk",
			[]string{"partition table (GPT)", "partition 1: 4.0 MiB, unknown", "partition 2: 2.0 MiB, unknown"}},
		{"MBR with logical partitions", "truncate -s 16M disk; printf 'label: dos\n,2M\n,,E\n,2M\n,2M\n' | sfdisk -q disk",
			[]string{"partition table (MBR)", "partition 1: 2.0 MiB, unknown", "partition 2: 13 MiB, unknown", "partition 5: 2.0 MiB, unknown", "partition 6: 2.0 MiB, unknown"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command("sh", "-euc", tt.line)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				if os.Getenv("CI") == "" {
					t.Skipf("%v: %s", err, out)
				}
				t.Fatalf("%v: %s", err, out)
			}
			f, err := os.Open(filepath.Join(dir, "disk"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			st, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			volumes, err := Volumes(f, st.Size())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range volumes {
				got = append(got, v.String())
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}
