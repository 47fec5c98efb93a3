package configfs

import "testing"

func TestBusyIsTheOldestOperation(t *testing.T) {
	k := newKernel(t)
	hbas := k.configfs() + "/target/core/user_"
	is := func(want string) {
		t.Helper()
		if what := k.busy.oldest(); what != want {
			t.Errorf("the kernel is busy with %q, want %q", what, want)
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
