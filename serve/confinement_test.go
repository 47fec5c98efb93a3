package serve

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/confine"
)

// What a server keeps contains neither the files of the machine nor those beside its
// own.
func TestServerKeepsNoMoreThanItNeeds(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "disk.img")
	base, err := image.Open(t.Context(), file, image.Options{Create: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	s := &service{
		options: Options{PIDFile: "/run/disks/pid", TraceFile: dir + "/traces/trace", Open: image.Options{TempDir: "/var/tmp"}},
		disks:   []*disk{{image: &openedImage{abs: file, base: base}, device: &device{kernel: &configfs.Device{UIO: "/dev/uio7"}}}},
	}
	rights := func(path string) (r confine.Rights) {
		for _, p := range s.paths() {
			if p.Name != "" && (path == p.Name || strings.HasPrefix(path, p.Name+"/")) {
				r |= p.Rights
			}
		}
		return r
	}
	for path, want := range map[string]confine.Rights{
		"/etc/shadow":        0,
		"/etc/passwd":        0,
		"/root/.ssh/id":      0,
		"/boot/vmlinuz":      0,
		"/bin/true":          0,
		"/run/other.pid":     0,
		"/var/tmp/file":      0,
		dir + "/other.img":   0,
		"/proc/sys/kernel/x": confine.Read,
		"/sys/fs/cgroup/x":   confine.Read,
		"/dev/sda":           confine.Read | confine.Ioctl,
		"/sys/devices/x":     confine.Read,
		"/sys/kernel/config": confine.Read,

		"/sys/devices/tcm_loop_0/tcm_loop_adapter_0/host2/target2:0:1/2:0:1:0/state": confine.Read | confine.Write,
		"/sys/kernel/config/target/core/user_1":                                      confine.All,
		"/sys/module/tcm_loop/parameters/nr_hw_queues":                               confine.Read | confine.Write,
		"/sys/module/tcm_loop/parameters/other":                                      confine.Read,

		"/run/disks/pid":   confine.Read | confine.Name | confine.RemoveFile,
		"/run/disks/other": confine.Read | confine.Name | confine.RemoveFile,
		dir + "/traces/x":  0,
		"/dev/uio7":        confine.Read | confine.Write | confine.Ioctl,
		file:               confine.Read | confine.Write | confine.Ioctl,
	} {
		if got := rights(path); got != want {
			t.Errorf("%s: %x, want %x", path, got, want)
		}
	}
	s.options.TraceFile = "/dev/stderr"
	if got := rights("/dev/stderr"); got != confine.Read|confine.Write|confine.Ioctl {
		t.Errorf("/dev/stderr: %x", got)
	}
	s.options.Size = 1 << 20
	if got := rights(dir + "/other.img"); got != confine.Read|confine.RemoveFile {
		t.Errorf("with --size: %x", got)
	}
}

// A server that reads a URL looks up hosts and makes connections until its end. One
// that reads a chain of files may open them again.
func TestConfinementLeavesWhatImagesNeed(t *testing.T) {
	for _, tt := range []struct {
		options Options
		want    bool
	}{
		{Options{Images: []Image{{Path: "a.qcow2"}}, Open: image.Options{Backing: []string{"b.img"}}}, false},
		{Options{Images: []Image{{Path: "a.qcow2"}}, Open: image.Options{Backing: []string{"b.img", "https://host/c.img"}}}, true},
		{Options{Images: []Image{{Path: "a.img"}, {Path: "s3://bucket/b.img"}}}, true},
	} {
		if got := (&service{options: tt.options}).readsURLs(); got != tt.want {
			t.Errorf("%+v: %v", tt.options, got)
		}
	}
	d := &disk{image: &openedImage{abs: "/a.qcow2", backing: []string{"/b.img"}}, device: &device{kernel: new(configfs.Device)}}
	if paths := new(service).pathsOf(d); !slices.Contains(paths, confine.Path{Name: "/b.img", Rights: confine.Read}) {
		t.Errorf("the paths are %v", paths)
	}
}
