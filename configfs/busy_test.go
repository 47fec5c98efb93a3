package configfs

import (
	"testing"
	"time"
)

func TestBusyIsTheOldestOperation(t *testing.T) {
	k := newKernel(t)
	hbas := k.configfs() + "/target/core/user_"
	is := func(want string) {
		t.Helper()
		if what, since := k.busy.longest(); what != want || since.IsZero() != (want == "") || time.Since(since) < 0 {
			t.Errorf("%q since %v, want %q", what, since, want)
		}
	}
	var during func()
	k.machine.before = func(string, string) error { during(); return nil }
	first, second := tree{machine: k.machine}, tree{machine: k.machine}

	is("")
	during = func() {
		is("mkdir " + hbas + "0")
		during = func() { is("mkdir " + hbas + "0") }
		second.mkdir("core/user_1")
	}
	first.mkdir("core/user_0")
	is("")
	during = func() { is("rmdir " + hbas + "1") }
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	is("")
}
