// Package confinetest plays a server with a fault: a process that confines itself
// as a server does, and then tries what it must not. Only tests import it.
package confinetest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/serve/confine"
)

// The environment of a process that is such a server.
const (
	folder = "LUNSERVE_TEST_CONFINED" // where it may work
	remote = "LUNSERVE_TEST_CONNECT"  // a TCP socket that listens
	again  = "LUNSERVE_TEST_AGAIN"    // set in a child of the server
)

// Main is the server, and does not return, if [Run] has started this process. Call
// it first in TestMain.
func Main() {
	dir := os.Getenv(folder)
	if dir == "" {
		return
	}
	do := serve
	if os.Getenv(again) != "" {
		do = refusals
	}
	if err := do(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Run starts a program whose TestMain calls [Main], without cgo, as the server, and
// returns what confined it.
func Run(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "given", "file"), filepath.Join(dir, "secret")} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte("text"), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), folder+"="+dir, remote+"="+l.Addr().String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}

// serve confines this process, and returns what is wrong then. It prints what
// confines it.
func serve(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	given := filepath.Join(dir, "given")
	open, err := os.Open(filepath.Join(dir, "secret"))
	if err != nil {
		return err
	}
	const threads = 8
	before, after, done := make(chan bool), make(chan bool), make(chan error)
	for range threads { // that exist already
		go func() {
			runtime.LockOSThread()
			before <- true
			<-after
			done <- refusals(dir)
		}()
	}
	for range threads {
		<-before
	}

	limits := confine.Limits{
		Paths: []confine.Path{
			{Name: given, Rights: confine.All},
			{Name: self, Rights: confine.Read | confine.Execute},
			{Name: "/proc", Rights: confine.Read},
			{Name: os.DevNull, Rights: confine.Read | confine.Write},
			{Name: filepath.Join(dir, "missing"), Rights: confine.Read},
		},
		Capabilities: []int{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE},
	}
	s, err := confine.Process(limits)
	fmt.Println(s)
	errs := []error{err}
	if offered := confine.Offered(); s != offered {
		errs = append(errs, fmt.Errorf("the kernel offers %v", offered))
	}
	close(after)
	for range threads {
		errs = append(errs, <-done)
	}
	if _, err := open.Read(make([]byte, 4)); err != nil {
		errs = append(errs, fmt.Errorf("what is open stays: %w", err))
	}
	errs = append(errs, uses(given), capabilities("CapPrm", 0b11), capabilities("CapEff", 0b11))

	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), again+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		errs = append(errs, fmt.Errorf("in a child: %w\n%s", err, out))
	}
	_, err = confine.Process(limits) // as the next program of the process does
	return errors.Join(append(errs, err, uses(given))...)
}
