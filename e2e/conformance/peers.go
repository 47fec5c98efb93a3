package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// target is where the kernel shows its targets.
const target = "/sys/kernel/config/target"

// A peer is a program that makes an iSCSI target of an image. There are two
// ways to it. What serve has made is taken down by stop, also when serve fails.
type peer interface {
	name() string
	serve(image string, k kind) (urls []string, stop func() error, err error)
}

// portals are where both of them listen, one after the other.
var portals = []string{"127.0.0.1:3260", "127.0.0.2:3260"}

// paths are the URLs of the first LUN by all portals.
func paths(iqn string) (urls []string) {
	for _, p := range portals {
		urls = append(urls, "iscsi://"+p+"/"+iqn+"/0")
	}
	return urls
}

type lunserve struct{}

func (lunserve) name() string { return "lunserve" }

func (lunserve) serve(image string, k kind) (urls []string, stop func() error, err error) {
	args := []string{"--iscsi", "--portal=" + portals[0], "--portal=" + portals[1], image}
	switch k {
	case readOnly:
		args = append(args, "--read-only")
	case removable:
		args = append(args, "--removable")
	case bigBlocks:
		args = append(args, "--sector-size=4096")
	}
	stop = func() error { return nil }
	cmd := exec.Command(*binary, args...)
	var said strings.Builder
	cmd.Stderr = &said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, stop, err
	}
	if err := cmd.Start(); err != nil {
		return nil, stop, err
	}
	stop = func() error {
		err := errors.Join(cmd.Process.Signal(unix.SIGTERM), cmd.Wait())
		if err != nil && !strings.Contains(said.String(), "taken away") { // a test may leave a session behind
			return fmt.Errorf("lunserve: %w: %s", err, said.String())
		}
		return nil
	}
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err == io.EOF {
		return nil, stop, errors.New("lunserve ended without a URL")
	}
	if err != nil {
		return nil, stop, err
	}
	return paths(strings.Split(url, "/")[3]), stop, nil
}

// fileio is what targetcli's fileio backstore is by default, with all that it
// can do switched on.
type fileio struct{}

func (fileio) name() string { return "LIO fileio" }

func (fileio) serve(image string, k kind) (urls []string, stop func() error, err error) {
	const iqn = "iqn.2001-04.com.example:fileio"
	tpg := target + "/iscsi/" + iqn + "/tpgt_1"
	hba := target + "/core/fileio_0"
	disk := hba + "/disk"
	var undo []func() error
	stop = func() (err error) {
		for n := len(undo); n > 0; n-- {
			err = errors.Join(err, undo[n-1]())
		}
		return err
	}
	mkdir := func(path string) {
		if err == nil {
			if err = os.Mkdir(path, 0o755); err == nil {
				undo = append(undo, func() error { return unix.Rmdir(path) })
			}
		}
	}
	set := func(path, value string) {
		if err == nil {
			err = os.WriteFile(path, []byte(value), 0)
		}
	}
	// The target core's database, without which persistent reservations fail.
	for _, dir := range []string{"/var/target", "/var/target/pr"} {
		if os.Mkdir(dir, 0o755) == nil {
			undo = append(undo, func() error { return os.RemoveAll(dir) })
		}
	}
	mkdir(hba)
	mkdir(disk)
	set(disk+"/control", fmt.Sprintf("fd_dev_name=%s,fd_dev_size=%d,fd_buffered_io=1", image, megabytes<<20))
	set(disk+"/enable", "1")
	set(disk+"/wwn/vpd_unit_serial", "conformance")
	if k == bigBlocks {
		set(disk+"/attrib/block_size", "4096")
	}
	for _, ability := range []string{"emulate_tpu", "emulate_tpws", "emulate_caw"} {
		set(disk+"/attrib/"+ability, "1")
	}
	if _, err := os.Stat(target + "/iscsi"); err != nil {
		mkdir(target + "/iscsi")
	}
	mkdir(filepath.Dir(tpg))
	mkdir(tpg)
	for attribute, value := range map[string]string{"authentication": "0", "generate_node_acls": "1", "demo_mode_write_protect": "0"} {
		if k == readOnly && attribute == "demo_mode_write_protect" {
			value = "1"
		}
		set(tpg+"/attrib/"+attribute, value)
	}
	mkdir(tpg + "/lun/lun_0")
	if err == nil {
		if err = os.Symlink(disk, tpg+"/lun/lun_0/disk"); err == nil {
			undo = append(undo, func() error { return os.Remove(tpg + "/lun/lun_0/disk") })
		}
	}
	for _, p := range portals {
		mkdir(tpg + "/np/" + p)
	}
	set(tpg+"/enable", "1")
	if err == nil {
		undo = append(undo, func() error { return os.WriteFile(tpg+"/enable", []byte("0"), 0) })
	}
	return paths(iqn), stop, err
}
