package configfs

import (
	"context"
	"regexp"
	"testing"
)

// Two disks of one image that exist at the same time have different identities,
// even if one is left by a killed lunserve: its users would take the other for
// the same disk.
func TestDisksOfOneImageHaveDifferentIdentities(t *testing.T) {
	k := newKernel(t)
	k.file("disk.img", "")
	image := k.root + "/disk.img"
	identity := func() *Identity {
		t.Helper()
		id, err := k.newIdentity(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(id.Serial) || !regexp.MustCompile(`^naa\.5001405[0-9a-f]{9}$`).MatchString(id.WWN) {
			t.Errorf("identity %+v", id)
		}
		return id
	}
	first := identity()
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	if _, err := k.newIdentity(interrupted, image); err == nil {
		t.Error("an identity is given while another's disk is not there yet")
	}
	s := spec
	s.Image, s.Serial = image, first.Serial
	d, err := k.newDevice(s, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	first.Close()

	second := identity()
	second.Close()
	if second.Serial == first.Serial || second.WWN == first.WWN {
		t.Errorf("two disks have the identity %+v", second)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again := identity()
	again.Close()
	if again.Serial != first.Serial || again.WWN != first.WWN {
		t.Errorf("the identity is %+v, was %+v", again, first)
	}

	if _, err := k.newDevice(s, "0000000a"); err != nil {
		t.Fatal(err)
	}
	k.gone("proc")
	left := identity()
	left.Close()
	if left.Serial == first.Serial || left.WWN == first.WWN {
		t.Errorf("the identity %+v is that of a disk that was left", left)
	}
}
