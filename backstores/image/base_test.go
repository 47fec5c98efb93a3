package image_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// makeOverlay makes an overlay over base, with changes everywhere if full is set,
// and returns what the two hold together.
func makeOverlay(t *testing.T, path, base string, full bool) []byte {
	t.Helper()
	want := storetest.ReadFile(t, base)
	s := openOverlay(t, path, base)
	storetest.Change(t, s, want, rand.New(rand.NewPCG(26, 26)), 30)
	if full {
		rand.NewChaCha8([32]byte{1}).Read(want)
		if err := backstores.WriteVec(s, [][]byte{want}, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(backstores.Flush(s), s.Close()); err != nil {
		t.Fatal(err)
	}
	return want
}

// commitHalf begins a commit and interrupts it after the first changes of the
// base.
func commitHalf(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var m image.Merge
	m.Options.Progress = func(int64, int64, string) { cancel() }
	if err := m.Commit(ctx, path); err == nil || !strings.Contains(err.Error(), "only partly merged") {
		t.Fatalf("Commit = %v", err)
	}
}

// name puts another base into the header of an overlay. Both paths are as long.
func name(t *testing.T, path, old, base string) {
	t.Helper()
	p := storetest.ReadFile(t, path)
	if len(old) != len(base) || !bytes.Contains(p[:4096], []byte(old)) {
		t.Fatalf("%s cannot take the place of %s", base, old)
	}
	copy(p[bytes.Index(p, []byte(old)):], base)
	if err := os.WriteFile(path, p, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A base is taken from the header of an overlay only if every user who may write the
// overlay may write the base. The command line may name any.
func TestBaseInAHeaderNeedsConsent(t *testing.T) {
	storetest.NeedRoot(t)
	const (
		alice, mallory = 1234, 4321
		otherUser      = "the overlay belongs to another user than the base"
		otherGroup     = "the group of the overlay may write that and not the base"
	)
	for _, tt := range []struct {
		name             string
		owner, baseOwner int
		mode, baseMode   os.FileMode
		prepare          func(dir, path, base string) error
		refused          string
	}{
		{"all of root", 0, 0, 0o644, 0o600, nil, ""},
		{"root's overlay over a user's image", 0, alice, 0o600, 0o600, nil, ""},
		{"all of one user", alice, alice, 0o644, 0o600, nil, ""},
		{"all of one user and his group", alice, alice, 0o664, 0o664, nil, ""},
		{"all of one group", 0, alice, 0o660, 0o660, nil, ""},
		{"a user's overlay over root's image", mallory, 0, 0o644, 0o600, nil, otherUser},
		{"a user's overlay over a public image of root", mallory, 0, 0o644, 0o666, nil, otherUser},
		{"a user's overlay over another's image", mallory, alice, 0o600, 0o600, nil, otherUser},
		{"a public overlay", 0, 0, 0o646, 0o600, nil, "every user may write the overlay"},
		{"a group's overlay", 0, 0, 0o664, 0o644, nil, otherGroup},
		{"an overlay of another group", alice, alice, 0o664, 0o664, func(dir, path, base string) error {
			return os.Chown(path, alice, mallory)
		}, otherGroup},
		{"an overlay with an access control list", alice, alice, 0o644, 0o664, func(dir, path, base string) error {
			return letWrite(path, mallory)
		}, "access control lists say who may write them"},
		{"a base that the group cannot reach", alice, alice, 0o664, 0o664, func(dir, path, base string) error {
			return os.Chmod(dir, 0o700)
		}, "the group of the overlay may write that and cannot reach the base"},
		{"a base that the group can reach", alice, alice, 0o664, 0o664, func(dir, path, base string) error {
			return os.Chmod(dir, 0o711)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("SUDO_UID", "4321") // he may be the one who was given the overlay
			dir, folder := storetest.MemDir(t), ""
			if folder = filepath.Join(dir, "images"); os.Mkdir(folder, 0o700) != nil {
				t.Fatal(folder)
			}
			base, path, out := storetest.NewImage(t, folder, storetest.OddSize), filepath.Join(folder, "changes"), filepath.Join(dir, "out")
			if strings.Contains(tt.name, "reach") {
				path = filepath.Join(dir, "changes")
			}
			want := makeOverlay(t, path, base, false)
			before := storetest.ReadFile(t, base)
			err := errors.Join(os.Chown(path, tt.owner, alice), os.Chmod(path, tt.mode))
			if err := errors.Join(err, os.Chown(base, tt.baseOwner, alice), os.Chmod(base, tt.baseMode)); err != nil {
				t.Fatal(err)
			}
			if tt.prepare != nil {
				if err := tt.prepare(folder, path, base); err != nil {
					t.Fatal(err)
				}
			}
			var m image.Merge
			if tt.refused != "" {
				refused := "PATH: names " + base + " as its base, but " + tt.refused + "; try --base IMAGE to name the base yourself"
				storetest.WantError(t, m.Export(ctx, path, out, false), path, refused)
				storetest.WantError(t, m.Commit(ctx, path), path, refused)
				if _, err := os.Lstat(out); err == nil || !bytes.Equal(storetest.ReadFile(t, base), before) {
					t.Error("the base was read or written")
				}
				m.Base = base
			}
			if err := m.Export(ctx, path, out, false); err != nil || !bytes.Equal(storetest.ReadFile(t, out), want) {
				t.Errorf("Export: %v, or it holds something else", err)
			}
			if err := m.Commit(ctx, path); err != nil || !bytes.Equal(storetest.ReadFile(t, base), want) {
				t.Errorf("Commit: %v, or the base holds something else", err)
			}
		})
	}
}

// letWrite gives a file an access control list by which a user may write it.
func letWrite(path string, user uint32) error {
	const owner, named, group, mask, others = 1, 2, 4, 16, 32
	b := binary.LittleEndian
	list := b.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, may uint16
		id       uint32
	}{{owner, 6, ^uint32(0)}, {named, 6, user}, {group, 4, ^uint32(0)}, {mask, 6, ^uint32(0)}, {others, 4, ^uint32(0)}} {
		list = b.AppendUint32(b.AppendUint16(b.AppendUint16(list, e.tag), e.may), e.id)
	}
	return unix.Setxattr(path, "system.posix_acl_access", list, 0)
}

// A relative path in a header may lead anywhere.
func TestRelativePathInAHeaderIsNotFollowed(t *testing.T) {
	dir := storetest.MemDir(t)
	base, path := storetest.NewImage(t, dir, storetest.OddSize), filepath.Join(dir, "changes")
	makeOverlay(t, path, base, false)
	storetest.Command(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", filepath.Base(base), path)
	for _, folder := range []string{dir, t.TempDir()} {
		t.Chdir(folder)
		storetest.WantError(t, new(image.Merge).Commit(ctx, path), path,
			"PATH: names "+filepath.Base(base)+" as its base, which is not an absolute path; try --base IMAGE to name the base yourself")
	}
}

// An overlay whose author has marked every block as changed, and its commit as
// begun, writes to no file that he does not know, even if its owner is trusted.
func TestForgedOverlayChangesNoOtherFile(t *testing.T) {
	for _, begun := range []bool{false, true} {
		for _, full := range []bool{false, true} {
			dir := storetest.MemDir(t)
			base, path, victim := storetest.NewImage(t, dir, 2<<20), filepath.Join(dir, "evil"), filepath.Join(dir, "priv.img")
			makeOverlay(t, path, base, full)
			if begun {
				commitHalf(t, path)
			}
			st, err := os.Stat(base)
			if err != nil {
				t.Fatal(err)
			}
			private := make([]byte, 2<<20)
			rand.NewChaCha8([32]byte{2}).Read(private)
			if err := errors.Join(os.WriteFile(victim, private, 0o600), os.Chtimes(victim, st.ModTime(), st.ModTime())); err != nil {
				t.Fatal(err)
			}
			name(t, path, base, victim)
			var m image.Merge
			what := " was made over, or has changed since"
			if begun {
				what = " is being merged into, or has changed since"
			}
			for range 2 {
				storetest.WantError(t, m.Commit(ctx, path), victim, "PATH: is not the image that "+path+what)
				storetest.WantError(t, m.Export(ctx, path, filepath.Join(dir, "out"), false), victim, "PATH: is not the image that "+path+what)
				m.Base = victim
			}
			if !bytes.Equal(storetest.ReadFile(t, victim), private) {
				t.Errorf("begun %v, full %v: the file was changed", begun, full)
			}
			if _, err := os.Lstat(filepath.Join(dir, "out")); err == nil {
				t.Errorf("begun %v, full %v: the file was copied", begun, full)
			}
		}
	}
}

// A commit that was interrupted at any point continues, also if it was by a power
// cut that left parts of blocks, and also if it changes every block. It does not
// continue over somebody else's changes.
func TestHalfCommittedBaseIsRecognized(t *testing.T) {
	for _, full := range []bool{false, true} {
		dir := storetest.MemDir(t)
		base, path := storetest.NewImage(t, dir, 3<<20+1000), filepath.Join(dir, "changes")
		want := makeOverlay(t, path, base, full)
		commitHalf(t, path)

		half := storetest.ReadFile(t, base)
		put := func(p []byte) {
			t.Helper()
			if err := os.WriteFile(base, p, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range []int{100, 32 << 10, len(half) - 1} { // in samples
			foreign := bytes.Clone(half)
			foreign[at] = ^(foreign[at] | want[at])
			if foreign[at] == half[at] || foreign[at] == want[at] {
				t.Fatal("it is not foreign")
			}
			put(foreign)
			storetest.WantError(t, new(image.Merge).Commit(ctx, path), base, "PATH: is not the image that "+path+" is being merged into, or has changed since")
		}
		for off := 0; off+512 <= len(half); off += 1536 { // more of the commit, sector by sector
			copy(half[off:off+512], want[off:])
		}
		put(half)
		if err := new(image.Merge).Commit(ctx, path); err != nil || !bytes.Equal(storetest.ReadFile(t, base), want) {
			t.Errorf("full %v: Commit: %v, or the base holds something else", full, err)
		}
	}
}

// The base is shown before it is opened, and what is in its name does nothing to
// a terminal.
func TestBaseIsShownFirst(t *testing.T) {
	dir := storetest.MemDir(t)
	base, path := storetest.NewImage(t, dir, storetest.OddSize), filepath.Join(dir, "changes")
	makeOverlay(t, path, base, false)
	evil := filepath.Join(dir, "d\x1b[2K.im")
	name(t, path, base, evil)
	var said []string
	m := image.Merge{Options: image.Options{Notice: func(note error) { said = append(said, hint.Text(note)) }}}
	shown := filepath.Join(dir, `d\x1b[2K.im`)
	err := m.Commit(ctx, path)
	storetest.WantError(t, err, shown, "PATH: no such file or directory; try --base IMAGE if it was moved")
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v is not ENOENT", err)
	}
	if len(said) != 1 || said[0] != "base: "+shown {
		t.Errorf("said %q", said)
	}
	if err := os.WriteFile(evil, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	storetest.WantError(t, m.Commit(ctx, path), shown, "PATH: is empty") // and nothing to type
}

// The file that is compared is the one that is open, whatever its path leads to.
func TestBaseThatIsReplacedIsRefused(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := storetest.MemDir(t)
	storetest.NewImage(t, dir, 4<<20)
	base, path := filepath.Join(dir, "base.zst"), filepath.Join(dir, "changes")
	shell(t, dir, "zstd -q --no-content-size base.img; cat base.img.zst base.img.zst >base.zst; cp base.zst secret")
	openOverlay(t, path, base).Close()
	os.RemoveAll(os.Getenv("XDG_CACHE_HOME"))
	swap := func() error {
		return errors.Join(os.Rename(base, filepath.Join(dir, "aside")), os.Symlink("secret", base))
	}
	var m image.Merge
	m.Options.Notice = func(note error) {
		if strings.Contains(note.Error(), "decompressing") { // the base is open
			if err := swap(); err != nil {
				t.Error(err)
			}
		}
	}
	storetest.WantError(t, m.Export(ctx, path, filepath.Join(dir, "out"), false), base, "PATH: was replaced by another file while it was opened")
}

// After the commit of one overlay, the others over the same base are refused with
// the reason, and without a command that has them written to it.
func TestCommitOfOneOverlayMakesOthersUseless(t *testing.T) {
	dir := storetest.MemDir(t)
	base, one, two := storetest.NewFile(t, dir, 64<<20), filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for i, path := range []string{one, two} { // between two samples
		s := openOverlay(t, path, base)
		if err := backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{1}, 100_000)}, int64(30_000_000+i*40_000), 0); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	var m image.Merge
	if err := m.Commit(ctx, one); err != nil {
		t.Fatal(err)
	}
	committed := storetest.ReadFile(t, base)
	refused := func(err error) {
		t.Helper()
		if !errors.Is(err, overlay.ErrTime) || !strings.Contains(hint.Text(err), "; try qemu-img convert ") {
			t.Errorf("error %q", hint.Text(err))
		}
	}
	b := open(t, base, reading)
	_, _, err := image.OpenOverlay(ctx, two, b, base, false)
	refused(err)
	b.Close()
	refused(m.Commit(ctx, two))
	refused(m.Export(ctx, two, filepath.Join(dir, "out"), false))
	m.Base = base
	refused(m.Commit(ctx, two))
	if !bytes.Equal(storetest.ReadFile(t, base), committed) {
		t.Error("the base was written")
	}
}
