package inuse

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

func TestMountsAtEndWithTheTopmost(t *testing.T) {
	v := View{Proc: t.TempDir()}
	if err := os.Mkdir(filepath.Join(v.Proc, "self"), 0o700); err != nil {
		t.Fatal(err)
	}
	const lines = `25 1 8:1 / / rw - ext4 /dev/sda1 rw
26 25 8:16 / /mnt/a\040b rw,nosuid shared:1 - ext4 /dev/sdb rw
27 25 8:17 / /mnt/x rw shared:1 - ext4 /dev/sdb1 rw
28 27 0:50 / /mnt/x rw - tmpfs tmpfs rw
29 25 8:17 / /mnt/xy
`
	if err := os.WriteFile(filepath.Join(v.Proc, "self/mountinfo"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string][]string{"/mnt/a b": {"/dev/sdb"}, "/mnt/x": {"/dev/sdb1", "tmpfs"}, "/": {"/dev/sda1"}, "/mnt": nil, "/mnt/xy": nil} {
		if got := v.MountsAt(dir); !slices.Equal(got, want) {
			t.Errorf("%s: mounted are %q, not %q", dir, got, want)
		}
	}
}

func TestInsideFindsFilesAndWorkingDirectories(t *testing.T) {
	v := View{Proc: t.TempDir()}
	for pid, links := range map[int]map[string]string{
		1: {"cwd": "/", "root": "/", "fd/0": "/dev/null"},
		2: {"cwd": "/mnt/x", "root": "/"},
		3: {"cwd": "/", "root": "/", "fd/7": "/mnt/x/file (deleted)"},
		4: {"cwd": "/mnt/xy", "root": "/", "exe": "/mnt/x/bin/sh"},
		5: {"cwd": "/mnt/xy", "fd/1": "/mnt/xy/file"},
	} {
		for name, to := range links {
			link := filepath.Join(v.Proc, strconv.Itoa(pid), name)
			if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(to, link); err != nil {
				t.Fatal(err)
			}
		}
	}
	var pids []int
	for _, p := range v.Inside("/mnt/x") {
		pids = append(pids, p.PID)
	}
	if !slices.Equal(pids, []int{2, 3, 4}) {
		t.Errorf("found %v", pids)
	}
}
