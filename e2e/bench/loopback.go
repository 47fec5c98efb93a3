package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const target = "/sys/kernel/config/target"

// loopback makes a backstore and its local SCSI disk, as a person would in a shell.
func loopback(hba, control, wwn string, u *undo) (disk string, err error) {
	if out, err := exec.Command("modprobe", "-a", "target_core_mod", "target_core_file", "target_core_user", "tcm_loop").CombinedOutput(); err != nil {
		return "", fmt.Errorf("modprobe: %w: %s", err, out)
	}
	err = unix.Mount("configfs", "/sys/kernel/config", "configfs", 0, "")
	if err != nil && !errors.Is(err, unix.EBUSY) { // mounted already
		return "", fmt.Errorf("mount configfs: %w", err)
	}
	store := filepath.Join(target, "core", hba, "bench")
	tpg := filepath.Join(target, "loopback", wwn, "tpgt_1")
	lun := filepath.Join(tpg, "lun", "lun_0")
	steps := []func() error{
		mkdir(filepath.Dir(store), u),
		mkdir(store, u),
		write(filepath.Join(store, "control"), control),
		write(filepath.Join(store, "enable"), "1"),
		mkdir(filepath.Join(target, "loopback"), u),
		mkdir(filepath.Dir(tpg), u),
		mkdir(tpg, u),
		write(filepath.Join(tpg, "nexus"), wwn),
		mkdir(lun, u),
		func() error {
			link := filepath.Join(lun, "bench")
			u.add(func() error { return os.Remove(link) })
			return os.Symlink(store, link)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return "", err
		}
	}
	address, err := os.ReadFile(filepath.Join(tpg, "address"))
	if err != nil {
		return "", err
	}
	return node("/sys/bus/scsi/devices/" + strings.TrimSpace(string(address)) + ":0/block/*")
}

// mkdir makes a folder and pushes its removal. It keeps a folder that exists.
func mkdir(path string, u *undo) func() error {
	return func() error {
		err := os.Mkdir(path, 0o755)
		if errors.Is(err, os.ErrExist) {
			return nil
		}
		if err == nil {
			u.add(func() error { return os.Remove(path) })
		}
		return err
	}
}

func write(path, value string) func() error {
	return func() error { return os.WriteFile(path, []byte(value), 0) }
}

// node waits for the device node of the one disk in sysfs that matches pattern.
func node(pattern string) (string, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return "", err
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := unix.InotifyAddWatch(fd, "/dev", unix.IN_CREATE); err != nil {
		return "", err
	}
	events.SetReadDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 64*unix.SizeofInotifyEvent)
	for {
		if disks, _ := filepath.Glob(pattern); len(disks) == 1 {
			disk := "/dev/" + filepath.Base(disks[0])
			if _, err := os.Stat(disk); err == nil {
				return disk, nil
			}
		}
		if _, err := events.Read(buf); err != nil {
			return "", fmt.Errorf("no disk appeared at %s: %w", pattern, err)
		}
	}
}
