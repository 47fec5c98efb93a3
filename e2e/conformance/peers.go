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

// A peer serves an image as an iSCSI target at two portals. stop removes what serve
// made, even if serve fails.
type peer interface {
	name() string
	tries(family string) bool // whether to run the family on this peer
	serve(image string, k kind) (urls []string, stop func() error, err error)
}

// portals are the same for all peers, which run one after another.
var portals = []string{"127.0.0.1:3260", "127.0.0.2:3260"}

// paths returns the URLs of the first LUN at all portals.
func paths(iqn string) (urls []string) {
	for _, p := range portals {
		urls = append(urls, "iscsi://"+p+"/"+iqn+"/0")
	}
	return urls
}

// A lunserve serves with the kernel's target, or with --userspace.
type lunserve struct{ userspace bool }

func (l lunserve) name() string {
	if l.userspace {
		return "userspace"
	}
	return "lunserve"
}

func (lunserve) tries(_ string) bool { return true }

func (l lunserve) serve(image string, k kind) (urls []string, stop func() error, err error) {
	args := []string{"--iscsi", "--portal=" + portals[0], "--portal=" + portals[1], image}
	if l.userspace {
		args[0] = "--userspace"
	}
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
		if err != nil && !strings.Contains(said.String(), "removed anyway") { // a test may leave a session behind
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

// fileio is a fileio backstore as targetcli makes it by default, with all optional
// commands enabled.
type fileio struct{}

func (fileio) name() string        { return "LIO fileio" }
func (fileio) tries(_ string) bool { return true }

func (fileio) serve(image string, k kind) (urls []string, stop func() error, err error) {
	var t tree
	disk := t.backstore("fileio")
	t.set(disk+"/control", fmt.Sprintf("fd_dev_name=%s,fd_dev_size=%d,fd_buffered_io=1", image, megabytes<<20))
	t.set(disk+"/enable", "1")
	t.set(disk+"/wwn/vpd_unit_serial", "conformance")
	if k == bigBlocks {
		t.set(disk+"/attrib/block_size", "4096")
	}
	for _, ability := range []string{"emulate_tpu", "emulate_tpws", "emulate_caw"} {
		t.set(disk+"/attrib/"+ability, "1")
	}
	urls = t.target(disk, k)
	return urls, t.remove, t.err
}

// pscsi is the backstore that passes commands on to a disk of the machine, here one
// of QEMU's. The kernel does as little with these as with lunserve's commands. A test
// that fails with both, and not with fileio, fails because of the kernel.
type pscsi struct{}

func (pscsi) name() string             { return "LIO pscsi" }
func (pscsi) tries(family string) bool { return strings.HasPrefix(family, "iSCSI") }

func (pscsi) serve(_ string, k kind) (urls []string, stop func() error, err error) {
	address, node, err := virtualDisk()
	if err != nil {
		return nil, func() error { return nil }, err
	}
	var t tree
	disk := t.backstore("pscsi")
	t.set(disk+"/control", fmt.Sprintf("scsi_host_id=%s,scsi_channel_id=%s,scsi_target_id=%s,scsi_lun_id=%s",
		address[0], address[1], address[2], address[3]))
	t.set(disk+"/udev_path", node)
	t.set(disk+"/enable", "1")
	urls = t.target(disk, k)
	return urls, t.remove, t.err
}

// virtualDisk returns the SCSI address (host, channel, target, LUN) and the node of
// the virtual machine's disk.
func virtualDisk() (address []string, node string, err error) {
	models, err := filepath.Glob("/sys/bus/scsi/devices/*/model")
	if err != nil {
		return nil, "", err
	}
	for _, file := range models {
		model, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(model)) != "QEMU HARDDISK" {
			continue
		}
		if blocks, _ := filepath.Glob(filepath.Dir(file) + "/block/*"); len(blocks) == 1 {
			return strings.Split(filepath.Base(filepath.Dir(file)), ":"), "/dev/" + filepath.Base(blocks[0]), nil
		}
	}
	return nil, "", errors.New("no SCSI disk of QEMU's to pass commands to; try e2e/vm -s")
}
