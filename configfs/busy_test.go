package configfs

import (
	"strings"
	"testing"
	"time"
)

func TestBusyIsWhatTheKernelHasNotFinished(t *testing.T) {
	k := newKernel(t)
	hbas := k.configfs() + "/target/core/user_"
	is := func(want string) {
		t.Helper()
		if what := strings.Join(k.busy.unfinished(0), ", "); what != want {
			t.Errorf("the kernel is busy with %q, want %q", what, want)
		}
		if what := k.busy.unfinished(time.Hour); len(what) > 0 {
			t.Errorf("for an hour: %q", what)
		}
	}
	var during func()
	k.machine.before = func(string, string) error { during(); return nil }
	first, second := tree{machine: k.machine}, tree{machine: k.machine}

	is("")
	during = func() {
		is("mkdir " + hbas + "0")
		during = func() { is("mkdir " + hbas + "0, mkdir " + hbas + "1") }
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
