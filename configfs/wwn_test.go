package configfs

import (
	"fmt"
	"os"
	"regexp"
	"testing"
)

func TestNamesComeFromMachineAndImage(t *testing.T) {
	k := newKernel(t)
	k.file("etc/machine-id", "00112233445566778899aabbccddeeff\n")
	k.file("images/a.img", "")
	k.file("images/b.img", "")
	if err := os.Symlink("a.img", k.root+"/images/link.img"); err != nil {
		t.Fatal(err)
	}
	digest := func(path, use string) string {
		t.Helper()
		sum, err := k.digest(path, use)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	a := digest(k.root+"/images/a.img", "disk")
	if again := digest(k.root+"/images/../images/link.img", "disk"); again != a {
		t.Error("the same image has another name by another path")
	}
	t.Chdir(k.root + "/images")
	if again := digest("a.img", "disk"); again != a {
		t.Error("the same image has another name by a relative path")
	}
	if digest("b.img", "disk") == a {
		t.Error("two images have one name")
	}
	if digest("a.img", "target") == a {
		t.Error("the disk and its target have one name")
	}
	url := digest("https://example.org/a.img", "disk")
	t.Chdir(k.root)
	if again := digest("https://example.org/a.img", "disk"); again != url || url == a {
		t.Error("the name of an image at a URL is not that of the URL")
	}
	t.Chdir(k.root + "/images")
	k.file("etc/machine-id", "ff112233445566778899aabbccddeeff\n")
	if digest("a.img", "disk") == a {
		t.Error("two machines have one name")
	}
	if _, err := k.digest("none.img", "disk"); err == nil {
		t.Error("no image has a name")
	}
}

func TestMachinesWithoutAMachineIDHaveDifferentNames(t *testing.T) {
	k := newKernel(t)
	k.file("images/a.img", "")
	seen := make(map[string]string)
	differs := func(what string) {
		t.Helper()
		sum, err := k.digest(k.root+"/images/a.img", "disk")
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[sum]; ok {
			t.Errorf("%s: the same name as %s", what, before)
		}
		seen[sum] = what
		if f := k.diagnoseMachineID(); f.Err == nil {
			t.Errorf("%s: doctor says %q", what, f.Is)
		}
	}
	k.file("proc/sys/kernel/random/boot_id", "c1b2c3d4\n")
	k.file("proc/sys/kernel/hostname", "one\n")
	differs("a container")
	k.file("proc/sys/kernel/hostname", "two\n")
	differs("another container of the machine")
	k.file("proc/sys/kernel/random/boot_id", "d1b2c3d4\n")
	differs("a rescue system")
	for _, none := range []string{"", "uninitialized\n"} {
		k.file("etc/machine-id", none)
		k.file("sys/class/dmi/id/product_uuid", "03000200-0400-0500-0006-"+fmt.Sprintf("%012d", len(none)+1)+"\n")
		differs(fmt.Sprintf("a system before its first boot, whose machine-id is %q", none))
	}
	k.file("sys/class/dmi/id/product_uuid", "00000000-0000-0000-0000-000000000000\n")
	if k.id().lasts {
		t.Error("firmware without a UUID has one")
	}
}

func TestNamesHaveTheirForm(t *testing.T) {
	wwn, err := WWN(".", "disk")
	if err != nil || !regexp.MustCompile(`^naa\.5001405[0-9a-f]{9}$`).MatchString(wwn) {
		t.Errorf("WWN() = %q, %v", wwn, err)
	}
}
