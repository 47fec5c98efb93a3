package configfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// databaseKernel returns a kernel whose dbroot does not exist.
func databaseKernel(t *testing.T) (k *kernel, dir string) {
	k = newKernel(t)
	dir = filepath.Join(k.root, "var/target")
	k.file("var/x", "")
	k.file("sys/kernel/config/target/dbroot", dir+"\n")
	return k, dir
}

func TestReservationsLeaveNothing(t *testing.T) {
	k, dir := databaseKernel(t)
	r, err := k.keepReservations("0123")
	if err != nil {
		t.Fatal(err)
	}
	k.file("var/target/pr/aptpl_0123", "PR_REG_START: 0\n")
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if exists(dir) {
		t.Error("the directory still exists")
	}
}

// The last user removes the directories, whichever process made them.
func TestReservationsKeepTheDirectoryOfOthers(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		k, dir := databaseKernel(t)
		var rs [2]*Reservations
		for i, serial := range []string{"a", "b"} {
			var err error
			if rs[i], err = k.keepReservations(serial); err != nil {
				t.Fatal(err)
			}
		}
		for _, i := range order {
			if !exists(dir, "pr", "aptpl_"+[]string{"a", "b"}[i]) {
				t.Error("the directory was removed before its last user ended")
			}
			if err := rs[i].Close(); err != nil {
				t.Error(err)
			}
		}
		if exists(dir) {
			t.Error("the directory still exists")
		}
	}
}

// A serial number is part of the name of a file, and leads to no other folder.
func TestSerialNumberIsNoPath(t *testing.T) {
	k, dir := databaseKernel(t)
	k.file("var/target/pr/aptpl_x/y", "")
	k.file("var/victim", "text")
	for _, serial := range []string{"x/../../../victim", "x/y", "/"} {
		if r, err := k.adoptReservations(serial); err == nil {
			r.Close()
			t.Errorf("%q is taken", serial)
		}
	}
	if !exists(dir, "../victim") || !exists(dir, "pr/aptpl_x/y") {
		t.Error("another file was removed")
	}
}

func TestForeignDatabaseStays(t *testing.T) {
	for _, name := range []string{"var/target/x", "var/target/pr/aptpl_foreign"} {
		k, _ := databaseKernel(t)
		k.file(name, "theirs")
		r, err := k.keepReservations("a")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if k.read(name) != "theirs" {
			t.Errorf("%s is gone", name)
		}
		if left := k.glob(k.root, "var/target/pr/*a"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

func TestReservationsWithoutADirectoryAreAnError(t *testing.T) {
	k, dir := databaseKernel(t)
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.keepReservations("a"); err == nil {
		t.Error("no error")
	}
	if !exists(dir) {
		t.Error("the existing file was removed")
	}
}
