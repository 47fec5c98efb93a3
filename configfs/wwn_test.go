package configfs

import (
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
	k.file("etc/machine-id", "ff112233445566778899aabbccddeeff\n")
	if digest("a.img", "disk") == a {
		t.Error("two machines have one name")
	}
	if _, err := k.digest("none.img", "disk"); err == nil {
		t.Error("no image has a name")
	}
}

func TestNamesHaveTheirForm(t *testing.T) {
	wwn, err := WWN(".", "disk")
	if err != nil || !regexp.MustCompile(`^naa\.5001405[0-9a-f]{9}$`).MatchString(wwn) {
		t.Errorf("WWN() = %q, %v", wwn, err)
	}
}
