package serve

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/serve/guard"
)

// A guard is not confined, and opens what its server says that it has served. A fault in
// the server must not lead to files which that could not open itself. So the guard believes
// the arguments, and of other images only that they are files which the server has open.
// Which process that is, the server does not choose: it is the parent of each guard. The
// paths may lead elsewhere later, so the guard notes the identities.

// vouched has the identities of the files of images that are not in the arguments.
type vouched struct {
	given   []Image // in the arguments
	files   map[given]identities
	server  func() int    // the parent of this process
	looking chan struct{} // has an element while files are looked at
}

func newVouched(given []Image) *vouched {
	return &vouched{given: given, server: parent, looking: make(chan struct{}, 1)}
}

// identities are those of the files of an image, by path.
type identities map[string]string

// vouchTime limits how long a guard waits for the storage of an image that is new. It has
// no time: its server may be killed meanwhile.
const vouchTime = time.Second

// accept returns an error unless a list is believed of the process pid.
func (v *vouched) accept(pid int, list []byte) error {
	var images []given
	if err := json.Unmarshal(list, &images); err != nil {
		return err
	}
	if guard.IsConfined() { // as the server is
		return nil
	}
	known := make(map[given]identities)
	for _, g := range images {
		g.Passing = false
		if slices.Contains(v.given, g.Image) {
			continue
		}
		if known[g] = v.files[g]; known[g] != nil {
			continue
		}
		if !filepath.IsAbs(g.Image.Path) || g.Image.Overlay != "" && !filepath.IsAbs(g.Image.Overlay) {
			return fmt.Errorf("%s: is no absolute path", g.Image.Path) // nor is a URL
		}
		var err error
		if known[g], err = v.vouch(pid, g.Image); err != nil {
			return err
		}
	}
	v.files = known
	return nil
}

// vouch returns the identities of the files of an image, which a process has open.
func (v *vouched) vouch(pid int, i Image) (identities, error) {
	type result struct {
		all identities
		err error
	}
	select {
	case v.looking <- struct{}{}:
	default: // one that hangs is enough
		return nil, fmt.Errorf("%s: the storage of an image does not answer", i.Path)
	}
	found := make(chan result, 1)
	go func() { // left behind if storage hangs
		all, err := v.identitiesOf(pid, i)
		<-v.looking
		found <- result{all, err}
	}()
	select {
	case r := <-found:
		return r.all, r.err
	case <-time.After(vouchTime):
		return nil, fmt.Errorf("%s: its storage does not answer", i.Path)
	}
}

func (v *vouched) identitiesOf(pid int, i Image) (identities, error) {
	files := map[string]bool{i.Path: i.isWritten()}
	if i.Overlay != "" {
		files[i.Overlay] = !i.ReadOnly
	}
	// If the server ends, another process may get its ID, but not the guard.
	before := v.server()
	all, open := make(identities), openFiles(pid)
	if before != pid || v.server() != pid {
		return nil, fmt.Errorf("%s: process %d is not the server of this guard", i.Path, pid)
	}
	for file, written := range files {
		id, err := pathID(file)
		if err != nil {
			return nil, err
		}
		if writable, is := open[id]; !is || written && !writable {
			return nil, fmt.Errorf("%s: is not what process %d has open, and could not be served after a kill", file, pid)
		}
		all[file] = id
	}
	return all, nil
}

// check returns an error if an image in the list was replaced since.
func (v *vouched) check(of given, i *openedImage) error {
	if v == nil {
		return nil
	}
	of.Passing = false
	for file, was := range v.files[of] {
		identify := i.id
		if file != of.Image.Path {
			identify = i.overlayID
		}
		if is, err := identify(); err != nil || is != was {
			return fmt.Errorf("%s: is not the file that was served", file)
		}
	}
	return nil
}

// parent returns the ID of the parent as proc shows it, like [configfs.Self], or 0.
func parent() (pid int) {
	status, _ := os.ReadFile("/proc/self/status")
	_, text, _ := strings.Cut(string(status), "\nPPid:")
	_, _ = fmt.Sscan(text, &pid)
	return pid
}

// openFiles returns the identities of the files that a process can read, as it has them
// open, and whether it may write them.
func openFiles(pid int) map[string]bool {
	all := make(map[string]bool)
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	entries, _ := os.ReadDir(filepath.Join(dir, "fd"))
	for _, e := range entries {
		info, err := os.ReadFile(filepath.Join(dir, "fdinfo", e.Name()))
		if err != nil {
			continue
		}
		_, text, _ := strings.Cut(string(info), "flags:")
		flags, err := strconv.ParseInt(strings.Fields(text + " x")[0], 8, 64)
		mode := flags & unix.O_ACCMODE
		// Landlock asks neither about O_PATH nor about mode 3, which only ioctl can use.
		if err != nil || flags&unix.O_PATH != 0 || mode != unix.O_RDONLY && mode != unix.O_RDWR {
			continue
		}
		if id, err := pathID(filepath.Join(dir, "fd", e.Name())); err == nil {
			all[id] = all[id] || mode == unix.O_RDWR
		}
	}
	return all
}
