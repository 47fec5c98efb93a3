package serve

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/hint"
)

// What is wrong with the directory is said before there is a disk.
func TestMountNeedsADirectory(t *testing.T) {
	dir := t.TempDir()
	file, missing := filepath.Join(dir, "file"), filepath.Join(dir, "missing")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	find := func(dir string) error {
		s := &service{options: Options{MountDir: dir}}
		_, err := s.findMount(t.Context())
		return err
	}
	if err := find(missing); !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(hint.Text(err), "; try mkdir -p "+missing+" to make it") {
		t.Errorf("a directory that does not exist: %v", err)
	}
	if err := find(file); err == nil {
		t.Error("a file is a directory")
	}
	if m, err := (&service{}).findMount(t.Context()); m != nil || err != nil {
		t.Errorf("without --mount: %v, %v", m, err)
	}
}

// A disk is known by where it is mounted, if it is.
func TestMountTakesThePlaceOfTheNode(t *testing.T) {
	d := &disk{address: address{node: "/dev/sdb", iqn: "iqn", portal: "p"}, mounted: "/mnt"}
	if got := lines([]*disk{d, {address: address{node: "/dev/sdc"}}}); !slices.Equal(got, []string{"/mnt", "/dev/sdc", "iscsi://p/iqn/0"}) {
		t.Errorf("printed %q", got)
	}
	if env := environment([]*disk{d}); !slices.Contains(env, "mnt=/mnt") || !slices.Contains(env, "dev=/dev/sdb") {
		t.Errorf("the environment is %q", env)
	}
	if env := environment([]*disk{{address: address{node: "/dev/sdc"}}}); slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "mnt") }) {
		t.Errorf("the environment is %q", env)
	}
}

// The mount of this process is no user of the disk. Others are.
func TestMountOfTheServerIsNoUser(t *testing.T) {
	m := &mount{dir: "/mnt", node: "/dev/sdb1"}
	for u, want := range map[inuse.User]bool{
		{Kind: inuse.Mount, Where: "/mnt"}:                          true,
		{Kind: inuse.Mount, Where: "/mnt", PID: 7, Command: "udev"}: true, // another namespace
		{Kind: inuse.Mount, Where: "/other"}:                        false,
		{Kind: inuse.Holder, Where: "/mnt"}:                         false,
	} {
		if m.is(u) != want {
			t.Errorf("%v: %v", u, !want)
		}
	}
	if (*mount)(nil).is(inuse.User{Kind: inuse.Mount}) || (*mount)(nil).leave() != "" {
		t.Error("there is no mount, and it is in use")
	}
}

// A mount is found by the path that the kernel shows.
func TestMountPointIsWhereLinksLead(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "a", "mnt")
	if err := os.MkdirAll(real, 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"absolute": real, "relative": "a/mnt", "again": "absolute", "folder": "a"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, name := range []string{real, real + "/", "a/mnt", "absolute", "relative", "again", "folder/mnt", "./folder/../a/mnt"} {
		if got, err := mountPoint(name); got != real || err != nil {
			t.Errorf("%s is %s, %v", name, got, err)
		}
	}
	if got, err := mountPoint("/"); got != "/" || err != nil {
		t.Errorf("/ is %s, %v", got, err)
	}
}
