package configfs

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/storetest/tmpfs"
)

// A kernel plays the kernel in a plain directory: it makes the attributes of
// new objects, and what appears elsewhere because of them.
type kernel struct {
	machine
	root string
	ops  []string        // the operations, as shell commands
	made map[string]bool // by mkdir and link, and still existing

	groups map[string]int // of directories

	failAt   int                          // the operation that fails, counted from 1
	refuse   func(verb, name string) bool // and others that fail
	n        int
	noDisk   bool     // the kernel finds no disk behind a link
	noNode   bool     // there is no devtmpfs
	uevents  []uevent // to be received
	lost     bool     // next reports a loss
	onWait   func()   // called before each wait
	tokenFor map[string]string
}

// newKernel returns a machine with a target that is still empty.
func newKernel(t testing.TB) *kernel {
	k := &kernel{root: tmpfs.Dir(t), made: make(map[string]bool), groups: make(map[string]int)}
	k.machine = machine{
		sys:     k.root + "/sys",
		proc:    k.root + "/proc",
		dev:     k.root + "/dev",
		run:     k.root + "/run",
		etc:     k.root + "/etc",
		modules: k.root + "/lib/modules",

		euid:        func() int { return 0 },
		release:     func() string { return "6.1.0" },
		isConfigfs:  func(string) bool { return true },
		mount:       func(string) error { return nil },
		modprobe:    func(string) error { return nil },
		hasModprobe: func() bool { return true },
		listen:      func() (listener, error) { return k, nil },
		setGroup:    func(path string, id int) error { k.groups[path] = id; return nil },
		group:       func(path string) int { return k.groups[path] },

		busy:   new(busy),
		before: k.before,
		after:  k.after,
	}
	k.file("sys/kernel/config/target/version", "v5.0")
	k.file("sys/kernel/config/target/core/alua/x", "")
	k.file("sys/class/uio/uio0/name", "foreign\n")
	k.file("dev/uio0", "")
	k.process(os.Getpid(), 4711, "")
	return k
}

func (k *kernel) file(name, text string) {
	name = filepath.Join(k.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		panic(err)
	}
}

func (k *kernel) symlink(to, name string) {
	name = filepath.Join(k.root, name)
	os.MkdirAll(filepath.Dir(name), 0o755)
	if err := os.Symlink(filepath.Join(k.root, to), name); err != nil {
		panic(err)
	}
}

// process shows a process with this start time, and lines of its status.
func (k *kernel) process(pid, started int, status string) {
	k.file(fmt.Sprintf("proc/%d/stat", pid), fmt.Sprintf("%d (odd) name) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 %d 20", pid, started))
	k.file(fmt.Sprintf("proc/%d/status", pid), "Name:\todd) name\n"+status)
}

// targets returns the names of a fabric's targets.
func (k *kernel) targets(fabric string) (names []string) {
	for _, name := range subdirs(filepath.Join(k.configfs(), "target", fabric)) {
		if name != "discovery_auth" {
			names = append(names, name)
		}
	}
	return names
}

func (k *kernel) gone(name string) {
	os.RemoveAll(filepath.Join(k.root, name))
}

func (k *kernel) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(k.root, name))
	return string(b)
}

// before makes chosen operations fail, and rmdir of a directory with objects in
// it. Attributes vanish with their directory.
func (k *kernel) before(verb, name string) error {
	k.n++
	if k.n == k.failAt || k.refuse != nil && k.refuse(verb, name) {
		return unix.EIO
	}
	if verb == "write" {
		os.Truncate(filepath.Join(k.configfs(), "target", name), 0)
	}
	if verb != "rmdir" {
		return nil
	}
	if path.Base(name) == "discovery_auth" {
		return unix.EPERM
	}
	for other := range k.made {
		if strings.HasPrefix(other, name+"/") {
			return unix.ENOTEMPTY
		}
	}
	entries, _ := os.ReadDir(filepath.Join(k.configfs(), "target", name))
	for _, e := range entries {
		os.RemoveAll(filepath.Join(k.configfs(), "target", name, e.Name()))
	}
	return nil
}

func (k *kernel) after(verb, name string) {
	base := "sys/kernel/config/target/" + name + "/"
	switch verb {
	case "read", "chmod", "chown":
		return
	case "write":
		value := k.read("sys/kernel/config/target/" + name)
		k.ops = append(k.ops, fmt.Sprintf("echo -n %q > %s", value, name))
		k.wrote(name, value)
		return
	case "unlink", "rmdir":
		delete(k.made, name)
	default:
		k.made[name] = true
	}
	k.ops = append(k.ops, verb+" "+name)

	switch depth := strings.Count(name, "/"); {
	case verb == "mkdir" && depth == 0:
		k.file(base+"discovery_auth/userid", "")
	case verb == "mkdir" && strings.HasPrefix(name, "core/") && depth == 2:
		for _, a := range strings.Fields(`control udev_path alias enable action/block_dev action/reset_ring wwn/vpd_unit_serial
			attrib/dev_config attrib/dev_size attrib/nl_reply_supported attrib/max_data_area_mb attrib/cmd_time_out
			attrib/tmr_notification
			attrib/hw_block_size attrib/hw_max_sectors`) {
			k.file(base+a, "")
		}
		k.file(base+"statistics/scsi_dev/indx", strings.TrimPrefix(path.Base(path.Dir(name)), "user_")+"\n")
	case verb == "mkdir" && strings.HasPrefix(name, "loopback/") && depth == 2:
		k.file(base+"nexus", "")
		k.file(base+"transport_status", "")
		k.file(base+"address", "2:0:1\n")
		os.Mkdir(filepath.Join(k.root, base+"lun"), 0o755)
	case verb == "link":
		if hba, _, ok := strings.Cut(k.linked(name), "/lunserve-"); ok {
			k.file(path.Dir(base[:len(base)-1])+"/statistics/scsi_port/dev", strings.TrimPrefix(path.Base(hba), "user_")+"\n")
		}
		if !k.noDisk {
			k.disk(name)
		}
	case verb == "unlink":
		k.gone("sys/kernel/config/target/" + path.Dir(name) + "/statistics")
		k.gone("sys/bus/scsi/devices/" + addressOf(name))
	case verb == "rmdir" && strings.HasPrefix(name, "core/") && depth == 2:
		k.gone("sys/class/uio/uio7")
		k.gone("dev/uio7")
	}
}

// linked returns the target of a link.
func (k *kernel) linked(name string) string {
	to, _ := os.Readlink(filepath.Join(k.configfs(), "target", name))
	return to
}

// wrote plays the effect of writing an attribute.
func (k *kernel) wrote(name, value string) {
	dir, attr := filepath.Split(name)
	switch attr {
	case "control":
		for token := range strings.SplitSeq(value, ",") {
			key, value, _ := strings.Cut(token, "=")
			if k.tokenFor[key] != "" {
				value = k.tokenFor[key]
			}
			k.file("sys/kernel/config/target/"+dir+"attrib/"+key, value+"\n")
		}
	case "vpd_unit_serial":
		k.file("sys/kernel/config/target/"+name, "T10 VPD Unit Serial Number: "+value+"\n")
	case "enable":
		if !strings.HasPrefix(dir, "core/") {
			return
		}
		hba, dev, _ := strings.Cut(strings.TrimPrefix(strings.Trim(dir, "/"), "core/user_"), "/")
		config := strings.TrimSpace(k.read("sys/kernel/config/target/" + dir + "attrib/dev_config"))
		name := "tcm-user/" + hba + "/" + dev + "/" + config
		// Names of other rings that nearly match.
		for i, decoy := range []string{name + "0", name[:len(name)-1], "tcm-user/" + hba + "1/" + dev + "/" + config} {
			k.file(fmt.Sprintf("sys/class/uio/uio%d/name", i+1), decoy+"\n")
		}
		k.file("sys/class/uio/uio7/name", name+"\n")
		if !k.noNode {
			k.file("dev/uio7", "")
		}
	}
}

// addressOf returns the SCSI address of the fake disk of a link.
func addressOf(link string) string {
	return "2:0:1:" + strings.TrimPrefix(filepath.Base(filepath.Dir(link)), "lun_")
}

// disk makes a disk with two partitions: sdb for LUN 0, sdc for LUN 1 and so
// on.
func (k *kernel) disk(link string) {
	address := addressOf(link)
	name := "sd" + string(rune('b'+address[len(address)-1]-'0'))
	devpath := "/devices/tcm_loop_0/tcm_loop_adapter_3/host2/target2:0:1/" + address + "/block/" + name
	k.file("sys/bus/scsi/devices/"+address+"/state", "running\n")
	k.file("sys/bus/scsi/devices/"+address+"/block/"+name+"/uevent", "")
	k.file("sys/bus/scsi/devices/"+address+"/scsi_disk/"+address+"/cache_type", "write back\n")
	k.file("sys"+devpath+"/uevent", "")
	if !k.noNode {
		k.file("dev/"+name, "")
	}
	k.uevents = append(k.uevents,
		uevent{action: "add", devpath: filepath.Dir(filepath.Dir(devpath))},
		// Other addresses, and other devices at this address.
		uevent{action: "add", devname: "sdx", devpath: strings.ReplaceAll(devpath, address, address+"0")},
		uevent{action: "add", devname: "sdy", devpath: strings.ReplaceAll(devpath, address, "1"+address)},
		uevent{action: "remove", devname: "sdz", devpath: devpath},
		uevent{action: "add", devname: "sdu", devpath: devpath, udev: true},
		uevent{action: "add", devname: name, devpath: devpath})
	for _, part := range []string{"1", "2"} {
		k.file("sys"+devpath+"/"+name+part+"/partition", part)
		k.file("sys"+devpath+"/"+name+part+"/uevent", "")
		k.uevents = append(k.uevents, uevent{action: "add", devname: name + part, devpath: devpath + "/" + name + part})
	}
}

// next returns the uevents, and then waits until ctx is done.
func (k *kernel) next(ctx context.Context) (uevent, error) {
	if k.onWait != nil {
		k.onWait()
	}
	if k.lost {
		k.lost = false
		return uevent{}, errMissed
	}
	if len(k.uevents) == 0 {
		<-ctx.Done()
		return uevent{}, context.Cause(ctx)
	}
	ev := k.uevents[0]
	k.uevents = k.uevents[1:]
	return ev, nil
}

func (k *kernel) Close() error { return nil }

// snapshot lists everything in the target's directory, with modes and contents.
func (k *kernel) snapshot(t testing.TB) string {
	t.Helper()
	var list []string
	root := filepath.Join(k.configfs(), "target")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		if fi.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(b)
		}
		list = append(list, fmt.Sprintf("%v %s %q", fi.Mode(), strings.TrimPrefix(path, root), text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

// same fails the test if two lists of operations differ.
func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
