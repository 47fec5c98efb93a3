package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/hint"
)

var spec = Spec{
	Image:      "/images/my disk,1.img",
	Size:       1 << 30,
	BlockSize:  512,
	MaxSectors: 2047,
	Serial:     "0123456789abcdef",
}

func TestDeviceIsMadeInThisOrder(t *testing.T) {
	k := newKernel(t)
	before := k.snapshot(t)
	d, err := k.newDevice(spec, "5f2a90c1")
	if err != nil {
		t.Fatal(err)
	}
	if want := k.dev + "/uio7"; d.UIO != want {
		t.Errorf("the ring is %s, want %s", d.UIO, want)
	}
	const dev = "core/user_0/lunserve-my_disk_1.img-5f2a90c1"
	same(t, k.ops, []string{
		"mkdir core/user_0",
		"mkdir " + dev,
		fmt.Sprintf("echo -n \"lunserve pid %d since 4711\" > %s/alias", os.Getpid(), dev),
		`echo -n "dev_config=lunserve/5f2a90c1,dev_size=1073741824,nl_reply_supported=-1,cmd_ring_size_mb=1,hw_block_size=512,hw_max_sectors=2040" > ` + dev + "/control",
		`echo -n "60" > ` + dev + "/attrib/cmd_time_out",
		`echo -n "1" > ` + dev + "/attrib/tmr_notification",
		`echo -n "0123456789abcdef" > ` + dev + "/wwn/vpd_unit_serial",
		`echo -n "/images/my disk,1.img" > ` + dev + "/udev_path",
		`echo -n "1" > ` + dev + "/enable",
	})

	k.ops = nil
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	same(t, k.ops, []string{"rmdir " + dev, "rmdir core/user_0"})
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

func TestResizeWritesTheSizeToControl(t *testing.T) {
	k := newKernel(t)
	d, err := k.newDevice(spec, "5f2a90c1")
	if err != nil {
		t.Fatal(err)
	}
	k.file("sys/kernel/config/target/"+d.name+"/control", "")
	k.ops = nil
	if err := d.Resize(2 << 30); err != nil {
		t.Error(err)
	}
	// attrib/dev_size needs a netlink listener.
	same(t, k.ops, []string{`echo -n "dev_size=2147483648" > core/user_0/lunserve-my_disk_1.img-5f2a90c1/control`})

	k.tokenFor = map[string]string{"dev_size": "5"}
	if err := d.Resize(3 << 30); err == nil || !strings.Contains(err.Error(), "has the size 5 instead of 3221225472") {
		t.Errorf("the kernel ignored it: %v", err)
	}
}

func TestControlOmitsZeroValues(t *testing.T) {
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{Size: 512}, "dev_config=c,dev_size=512,nl_reply_supported=-1,cmd_ring_size_mb=1"},
		{Spec{Size: 8192, BlockSize: 4096}, "dev_config=c,dev_size=8192,nl_reply_supported=-1,cmd_ring_size_mb=1,hw_block_size=4096"},
		{Spec{BlockSize: 4096, MaxSectors: 257}, "dev_config=c,dev_size=0,nl_reply_supported=-1,cmd_ring_size_mb=1,hw_block_size=4096,hw_max_sectors=257"},
		{Spec{MaxSectors: 1}, "dev_config=c,dev_size=0,nl_reply_supported=-1,cmd_ring_size_mb=1,hw_max_sectors=8"}, // the kernel would take 0
		{Spec{MaxSectors: 2048}, "dev_config=c,dev_size=0,nl_reply_supported=-1,cmd_ring_size_mb=1,hw_max_sectors=2048"},
	} {
		if got := tt.spec.control("c"); got != tt.want {
			t.Errorf("%+v: control is %q, want %q", tt.spec, got, tt.want)
		}
	}
}

func TestDeviceUsesAFreeHBA(t *testing.T) {
	k := newKernel(t)
	k.file("sys/kernel/config/target/core/user_0/foreign/enable", "1")
	k.file("sys/kernel/config/target/core/user_1/hba_info", "")
	before := k.snapshot(t)
	d, err := k.newDevice(spec, "5f2a90c1")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.name, "core/user_2/") {
		t.Errorf("made %s", d.name)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

// Whichever step fails, configfs is byte for byte as before.
func TestFailedDeviceLeavesNothing(t *testing.T) {
	failAtEachStep(t, func(k *kernel) error {
		d, err := k.newDevice(spec, "5f2a90c1")
		if err != nil {
			return err
		}
		return errors.Join(d.Close())
	})
}

// failAtEachStep runs f with each operation on configfs failing in turn, until
// f succeeds. Objects whose removal fails stay.
func failAtEachStep(t *testing.T, f func(*kernel) error) {
	t.Helper()
	for n := 1; ; n++ {
		k := newKernel(t)
		k.file("sys/kernel/config/target/core/user_0/foreign/enable", "1")
		before := k.snapshot(t)
		k.failAt = n
		var failed string
		k.refuse = func(verb, name string) bool {
			if k.n == n-1 {
				failed = verb + " " + name
			}
			return false
		}
		err := f(k)
		if err == nil {
			if n < 10 {
				t.Errorf("step %d does not fail", n)
			}
			return
		}
		if strings.Contains(err.Error(), "rmdir") || strings.Contains(err.Error(), "unlink") {
			continue
		}
		if after := k.snapshot(t); after != before {
			t.Errorf("after step %d (%s) failed, left:\n%s\nwas:\n%s", n, failed, after, before)
		}
	}
}

// The random part of a name may collide.
func TestForeignBackstoreIsNotTouched(t *testing.T) {
	k := newKernel(t)
	var theirs string
	after := k.machine.after
	k.machine.after = func(verb, name string) {
		after(verb, name)
		if verb == "mkdir" && name == "core/user_0" { // another program is faster
			theirs = name + "/lunserve-my_disk_1.img-5f2a90c1"
			k.file("sys/kernel/config/target/"+theirs+"/enable", "0")
			k.made[theirs] = true
		}
	}
	d, err := k.newDevice(spec, "5f2a90c1")
	if d != nil || !errors.Is(err, fs.ErrExist) {
		t.Errorf("newDevice() = %v, %v", d, err)
	}
	if k.read("sys/kernel/config/target/"+theirs+"/enable") != "0" {
		t.Error("the backstore was removed")
	}
}

func TestDifferingAttributeIsAnError(t *testing.T) {
	for key, value := range map[string]string{
		"dev_config":         "lunserve/5f2a90c",
		"dev_size":           "1073741312",
		"nl_reply_supported": "0",
		"hw_block_size":      "4096",
		"hw_max_sectors":     "128",
	} {
		k := newKernel(t)
		before := k.snapshot(t)
		k.tokenFor = map[string]string{key: value}
		_, err := k.newDevice(spec, "5f2a90c1")
		if err == nil || !strings.Contains(err.Error(), "/attrib/"+key+": the kernel has "+value+" instead of ") {
			t.Errorf("%s=%s: %v", key, value, err)
		}
		if k.snapshot(t) != before {
			t.Errorf("%s=%s: objects are left", key, value)
		}
	}
}

// Older kernels lack some attributes.
func TestMissingAttributesAreAccepted(t *testing.T) {
	k := newKernel(t)
	k.refuse = func(verb, name string) bool {
		if verb == "read" {
			os.Remove(k.configfs() + "/target/" + name)
		}
		return false
	}
	// dev_config is part of the ring's name, so it must stay.
	k.machine.before = func(verb, name string) error {
		if strings.HasSuffix(name, "dev_config") {
			return nil
		}
		return k.before(verb, name)
	}
	d, err := k.newDevice(spec, "5f2a90c1")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestTimeoutCountsInSeconds(t *testing.T) {
	for timeout, want := range map[time.Duration]string{
		0:                       "60",
		5 * time.Second:         "5",
		time.Millisecond:        "1", // 0 would be never
		1600 * time.Millisecond: "2",
	} {
		k := newKernel(t)
		s := spec
		s.Timeout = timeout
		d, err := k.newDevice(s, "5f2a90c1")
		if err != nil {
			t.Fatal(err)
		}
		if got := k.read("sys/kernel/config/target/" + d.name + "/attrib/cmd_time_out"); got != want {
			t.Errorf("%v: cmd_time_out is %q, want %q", timeout, got, want)
		}
	}
}

func TestMissingRingIsAnError(t *testing.T) {
	k := newKernel(t)
	k.noNode = true
	before := k.snapshot(t)
	if _, err := k.newDevice(spec, "5f2a90c1"); err == nil || !strings.Contains(err.Error(), "/dev/uio7: ") || !strings.HasSuffix(hint.Text(err), "; run lunserve where "+k.dev+" is a devtmpfs") {
		t.Errorf("no node: %v", err)
	}
	if k.snapshot(t) != before {
		t.Error("objects are left")
	}
	if _, err := k.uio("tcm-user/0/none"); err == nil || !strings.Contains(err.Error(), "tcm-user/0/none") {
		t.Errorf("no ring: %v", err)
	}
}

func TestNamesAreSanitized(t *testing.T) {
	for name, want := range map[string]string{
		"disk.img":               "disk.img",
		"-f.img":                 "_f.img",         // which is not a flag
		"a b,c:d/../\n\"é":       "a_b_c_d_..____", // whatever the path was
		strings.Repeat("x", 200): strings.Repeat("x", 64),
	} {
		if got := sanitize(name); got != want {
			t.Errorf("sanitize(%q) = %q, want %q", name, got, want)
		}
	}
	if got, want := atMost(511, strings.Repeat("é", 300)), strings.Repeat("é", 255); got != want {
		t.Errorf("atMost() has %d bytes, want %d", len(got), len(want))
	}
}

func TestResetBlocksTheRingThenAnswers(t *testing.T) {
	k := newKernel(t)
	d, err := k.newDevice(spec, "5f2a90c1")
	if err != nil {
		t.Fatal(err)
	}
	d.onReset(func() error { k.ops = append(k.ops, "offline"); return nil })
	k.ops = nil
	if err := d.Reset(); err != nil {
		t.Error(err)
	}
	same(t, k.ops, []string{"offline", `echo -n "1" > ` + d.name + "/action/block_dev", `echo -n "2" > ` + d.name + "/action/reset_ring"})
}
