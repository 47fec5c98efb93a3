package serve

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
	s := &service{options: Options{MountDir: dir}, disks: []*disk{{image: &openedImage{path: "a.img", abs: filepath.Join(dir, "a.img")}}}}
	if _, err := s.findMount(t.Context()); err == nil || err.Error() != "a.img: would be hidden by what is mounted on "+dir {
		t.Errorf("the image is in the directory: %v", err)
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
	if (*mount)(nil).is(inuse.User{Kind: inuse.Mount}) {
		t.Error("there is no mount, and it is excused")
	}
}

// Only a start looks at the directory: later it may be gone, or wait for the disk.
func TestMountIsFoundWithoutItsDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(mountVar, dir) // which a start sets
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for _, r := range []role{succeeding, removing, upgrading} {
		s := &service{role: r, options: Options{MountDir: dir}}
		if m, err := s.findMount(t.Context()); err != nil || m.dir != dir {
			t.Errorf("role %d: %+v, %v", r, m, err)
		}
		s.mount, s.disks = &mount{dir: dir}, []*disk{{orphan: new(orphan), address: address{node: "/dev/sdb"}}}
		if err := s.mountDisk(nil); err != nil || s.mount != nil || s.disks[0].mounted != "" {
			t.Errorf("role %d: nothing is mounted: %v, %+v", r, err, s.mount)
		}
	}
}

// A mount is that of a disk or of a partition, even with others over it.
func TestSourceOfADisk(t *testing.T) {
	for disk, want := range map[string]string{"/dev/sdb": "/dev/sdb1", "/dev/sda": "", "/dev/sd": "", "": "", "/dev/sdc": "/dev/sdc"} {
		if got := sourceOf([]string{"", "/dev/sdaa", "/dev/sdb1", "/dev/sdc", "tmpfs"}, disk); got != want {
			t.Errorf("%q: %q, not %q", disk, got, want)
		}
	}
}

// What keeps the file system mounted is a user of the disk, and named.
func TestMountLeavesOnlyWhatNobodyUses(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root mounts file systems")
	}
	const inside = "LUNSERVE_TEST_LEAVE"
	dir := os.Getenv(inside)
	if dir == "" {
		cmd := exec.Command("unshare", "--mount", os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inside+"="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	mountOn := func(source string) {
		t.Helper()
		if err := unix.Mount(source, dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	m := &mount{dir: dir, node: "/dev/mine"}
	mountOn(m.node)
	mountOn("foreign")
	if got := m.leave(); got != "foreign is mounted on "+dir+", over /dev/mine" {
		t.Errorf("below another mount: %q", got)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.leave(); !strings.HasPrefix(got, "files are open in "+dir+" by ") {
		t.Errorf("with an open file: %q", got)
	}
	file.Close()
	if got := m.leave(); got != "" || len(inuse.MountsAt(dir)) > 0 {
		t.Errorf("without users: %q, mounted is %q", got, inuse.MountsAt(dir))
	}
}
