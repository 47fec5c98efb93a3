package configfs

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// A Device is a TCM-USER backstore: commands for the image arrive on the ring
// UIO once the Device is a LUN of some target.
type Device struct {
	UIO string // the ring, such as "/dev/uio0"

	tree *tree
	name string // core/user_N/lunserve-…
	spec Spec

	mu      sync.Mutex
	reset   bool           // by Reset, which cannot be undone
	offline []func() error // each takes a LUN offline; nil once that is removed
}

// Name returns the name of the device without the prefix of lunserve. It is
// unique on this machine.
func (d *Device) Name() string { return strings.TrimPrefix(path.Base(d.name), prefix) }

// DiskName returns the name of a disk of an image, given an ID that other disks of
// that image do not have.
func DiskName(image, id string) string { return sanitize(filepath.Base(image)) + "-" + id }

// prefix begins the names of all devices of lunserve.
const prefix = "lunserve-"

// NewDevice makes a device whose ring is ready to be served. After an error
// nothing is left of it.
func NewDevice(s Spec) (*Device, error) {
	id := make([]byte, 4)
	rand.Read(id)
	return host.newDevice(s, hex.EncodeToString(id))
}

func (m machine) newDevice(s Spec, id string) (*Device, error) {
	t := &tree{machine: m}
	hba, n := t.newHBA()
	d := &Device{tree: t, spec: s, name: hba + "/" + prefix + DiskName(s.Image, id)}
	config := "lunserve/" + id

	t.mkdir(d.name)
	t.setMark(d.name, s) // first, so that the owner of the device is always known
	t.set(d.name+"/control", s.control(config))
	t.verify(d.name+"/attrib/dev_config", config)
	t.verify(d.name+"/attrib/dev_size", strconv.FormatInt(s.Size, 10))
	t.verify(d.name+"/attrib/nl_reply_supported", "-1")
	timeout := cmp.Or(s.Timeout, 60*time.Second)
	t.set(d.name+"/attrib/cmd_time_out", strconv.FormatInt(int64(max(1, timeout.Round(time.Second)/time.Second)), 10))
	if exists(t.path(d.name), "attrib/tmr_notification") { // since 5.10
		t.set(d.name+"/attrib/tmr_notification", "1")
	}
	if s.Serial != "" {
		t.set(d.name+"/wwn/vpd_unit_serial", s.Serial)
	}
	t.set(d.name+"/udev_path", atMost(511, hint.Visible(s.Image))) // which other programs print
	t.set(d.name+"/enable", "1")
	if s.BlockSize != 0 {
		t.verify(d.name+"/attrib/hw_block_size", strconv.Itoa(s.BlockSize))
	}
	if n := s.maxSectors(); n > 0 {
		t.verify(d.name+"/attrib/hw_max_sectors", strconv.Itoa(n))
	}
	if t.err == nil {
		d.UIO, t.err = m.uio(ringName(n, filepath.Base(d.name), config))
	}
	if t.err != nil {
		return nil, errors.Join(t.err, t.Close())
	}
	return d, nil
}

// newHBA makes an HBA with the first free number.
func (t *tree) newHBA() (name string, n int) {
	for ; t.err == nil; n++ {
		name = fmt.Sprintf("core/user_%d", n)
		t.mkdir(name)
		if !errors.Is(t.err, fs.ErrExist) {
			break
		}
		t.err = nil
	}
	t.setOwnerPID(name)
	return name, n
}

// verify compares an attribute with the value that was written to control.
// Kernels that are too old to show the attribute are trusted.
func (t *tree) verify(name, want string) {
	if t.err != nil {
		return
	}
	got := t.get(name)
	switch {
	case errors.Is(t.err, fs.ErrNotExist):
		t.err = nil
	case t.err == nil && got != want:
		t.err = fmt.Errorf("%s: the kernel has %s instead of %s", t.path(name), got, want)
	}
}

// uio finds a ring by its name. The whole name must match: another ring's may
// be a prefix of it. The newest ring, which it is as a rule, is looked at first.
func (m machine) uio(name string) (string, error) {
	class := filepath.Join(m.sys, "class/uio")
	entries, err := os.ReadDir(class)
	if err != nil {
		return "", err
	}
	number := func(e os.DirEntry) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(e.Name(), "uio"))
		return n
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return number(b) - number(a) })
	for _, e := range entries {
		if m.ringNamed(e.Name()) == name {
			return m.node(e.Name())
		}
	}
	return "", hint.With(fmt.Errorf("%s: no ring is named %s, though the kernel has enabled the device", class, name), kernelLog)
}

// rings returns the devices of all rings, such as "uio0", by the names of the rings.
func (m machine) rings() map[string]string {
	all := make(map[string]string)
	entries, _ := os.ReadDir(filepath.Join(m.sys, "class/uio"))
	for _, e := range entries {
		all[m.ringNamed(e.Name())] = e.Name()
	}
	return all
}

// ringNamed returns the name of the ring of a UIO device. One that was just removed
// has none.
func (m machine) ringNamed(uio string) string {
	name, _ := readAttribute(m.sys, "class/uio", uio, "name")
	return name
}

// node returns the path of a device node, which devtmpfs makes together with
// the device.
func (m machine) node(name string) (string, error) {
	path := filepath.Join(m.dev, name)
	if _, err := os.Stat(path); err != nil {
		// A devtmpfs mounted here and now would hide what is mounted below it.
		return "", fmt.Errorf("%s: the kernel has the device, but its node is missing: %w; run lunserve where %s is a devtmpfs",
			path, withoutPath(err), m.dev)
	}
	return path, nil
}

// Reset gives up on a device whose ring is no longer served, so that its LUNs
// can be removed immediately rather than after the kernel's command timeout.
// Commands in flight fail, as do new ones. Unflushed writes are lost, and
// closing the LUNs does not try to flush them. It cannot be undone.
//
// The caller must no longer touch the ring: the data buffers of commands in
// flight are reused after this. Safe for concurrent use.
func (d *Device) Reset() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reset = true

	// The disks go offline first. A command that is retried after the reset
	// must be refused before it is queued for the ring: the ring would answer
	// BUSY, and Linux retries that for minutes.
	var errs []error
	for _, offline := range d.offline {
		if offline != nil {
			errs = append(errs, offline())
		}
	}
	return errors.Join(append(errs, d.tree.reset(d.name))...)
}

// reset fails the commands that a device has not completed, and all later ones.
func (t *tree) reset(device string) error {
	var errs []error
	for _, a := range []struct{ name, value string }{
		{"block_dev", "1"},
		{"reset_ring", "2"}, // 1 would answer BUSY
	} {
		name := device + "/action/" + a.name
		err := t.op("write", name, func(path string) error { return write(path, a.value) })
		if !errors.Is(err, unix.ENOENT) { // older kernels lack them
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Resize gives the kernel the size of the disk in bytes. The kernel hardly uses
// it: the server of the ring reports the size to initiators, and that it
// changed.
func (d *Device) Resize(size int64) error {
	// The attribute dev_size can be written only while a netlink listener, such
	// as tcmu-runner, is running.
	name, want := d.name+"/control", strconv.FormatInt(size, 10)
	if err := d.tree.op("write", name, func(path string) error { return write(path, "dev_size="+want) }); err != nil {
		return err
	}
	got, err := readAttribute(d.tree.path(d.name), "attrib/dev_size")
	if err == nil && got != want {
		err = fmt.Errorf("%s: the kernel has the size %s instead of %s", d.tree.path(name), got, want)
	}
	return err
}

// onReset adds a step to the beginning of Reset, until forget is called.
func (d *Device) onReset(f func() error) (forget func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.offline)
	d.offline = append(d.offline, f)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.offline[n] = nil
	}
}

// wasReset reports whether Reset was called.
func (d *Device) wasReset() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reset
}

// Close removes the device and its ring. The ring may be unmapped before or
// after. A second Close does nothing.
func (d *Device) Close() error { return d.tree.Close() }
