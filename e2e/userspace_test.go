package e2e

import (
	goflag "flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var cut = goflag.Duration("cut", 5*time.Second, "how long to cut an iSCSI connection")

// startAsUser starts lunserve --userspace as a user without rights, and returns the
// URL and the image.
func startAsUser(t *testing.T, size int64, flags ...string) (s *server, url, image string) {
	t.Helper()
	const nobody = 65534
	dir := tmpfsDir(t)
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "cp", binary, dir+"/lunserve") // where everyone reaches it
	image = newImage(t, dir, size)
	home := filepath.Join(dir, "run")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{image, home} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(dir+"/lunserve", append(flags, "--userspace", image)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "XDG_RUNTIME_DIR="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	s = launch(t, cmd)
	return s, s.line(), image
}

// Linux's initiator uses a disk that an ordinary user serves: with digests and the
// smallest bursts, beside another session, and after its connection was cut.
func TestUserspaceServesOpenISCSI(t *testing.T) {
	needTarget(t)
	i := newInitiator(t)
	s, url, image := startAsUser(t, 96<<20)
	portal, iqn := target(t, url)
	if out := i.admin("-m", "discovery", "-t", "sendtargets", "-o", "nonpersistent", "-p", portal); strings.TrimSpace(out) != portal+",1 "+iqn {
		t.Errorf("discovered %q", out)
	}
	const conn, session = "node.conn[0].", "node.session."
	careful := i.node(itsName, url, conn+"iscsi.HeaderDigest", "CRC32C", conn+"iscsi.DataDigest", "CRC32C",
		session+"iscsi.ImmediateData", "No", session+"iscsi.InitialR2T", "Yes",
		session+"iscsi.FirstBurstLength", "4096", session+"iscsi.MaxBurstLength", "16384", conn+"iscsi.MaxRecvDataSegmentLength", "4096",
		session+"timeo.replacement_timeout", "120", conn+"timeo.noop_out_interval", "1", conn+"timeo.noop_out_timeout", "2")
	disk := careful.login()
	other := i.node(itsName+"2", url)
	second := other.login()
	if disk == second {
		t.Fatalf("both sessions have %s", disk)
	}

	dir, written := t.TempDir(), noise(1<<20, 5)
	run(t, "mkfs.ext4", "-q", disk, "64M")
	run(t, "mount", disk, dir)
	if err := os.WriteFile(dir+"/file", written, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "umount", dir)
	run(t, "mount", "-o", "ro", second, dir)
	holds(t, dir+"/file", 0, written)
	run(t, "umount", dir)

	v := verify(t, disk, "--offset=64m", "--bs=4k-64k")
	lost := func() int { return strings.Count(run(t, "dmesg"), "detected conn error") }
	before := lost()
	cutLoopback(t, *cut)            // longer than both timeouts
	write(t, disk, 90<<20, written) // it waits for the new connection
	v.ends()
	if lost() == before {
		t.Error("the connection was not lost")
	}
	holds(t, second, 90<<20, written)
	listed := asUser(t, image, "list", "--json")
	for _, name := range []string{itsName, itsName + "2"} {
		if !strings.Contains(listed, `"`+name+`"`) {
			t.Errorf("%s is not listed: %s", name, listed)
		}
	}

	if !strings.Contains(listed, `"seccomp"`) {
		t.Errorf("not confined: %s", listed)
	}
	s.signal(syscall.SIGUSR2)
	s.stderr.await(t, `(?m)^lunserve: warning: not upgraded, the disks stay: the sessions of --userspace cannot be handed over, so restart it$`)
	holds(t, second, 90<<20, written)

	careful.logout()
	other.logout()
	s.ends()
	if reads, writes := s.did(url); reads == 0 || writes == 0 {
		t.Errorf("%d reads, %d writes", reads, writes)
	}
	holds(t, image, 90<<20, written)
	run(t, "truncate", "-s", "64M", image)
	run(t, "e2fsck", "-fn", image)
}

// asUser runs the program of startAsUser, for the image of its disk.
func asUser(t *testing.T, image string, args ...string) string {
	t.Helper()
	dir := filepath.Dir(image)
	return run(t, "setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups",
		"env", "-C", dir, "XDG_RUNTIME_DIR=" + dir + "/run", "./lunserve"}, args...)...)
}

// An ordinary user has a disk misbehave, and cuts its power.
func TestUserspaceMisbehaves(t *testing.T) {
	needTarget(t)
	s, url, image := startAsUser(t, 16<<20, "--fault=read lba 1000+8: medium", "--fault-track")
	io := func(commands ...string) string {
		args := []string{"-f", "raw", "-t", "writeback"} // by itself QEMU writes with FUA
		for _, c := range commands {
			args = append(args, "-c", c)
		}
		out, _ := try(t, "qemu-io", append(args, url)...)
		return out
	}
	if out := io("read 512000 4k"); !strings.Contains(out, "read failed: Input/output error") {
		t.Errorf("a bad block: %s", out)
	}
	// Held commands end with the rules.
	asUser(t, image, "fault", image, "--clear", "read: hang")
	read := exec.Command("qemu-io", "-f", "raw", "-c", "read -P 0 0 4k", url)
	if err := read.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(timeLimit); !strings.Contains(asUser(t, image, "fault", image), "1 fault by read: hang"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no command hangs")
		}
	}
	asUser(t, image, "fault", image, "--clear")
	if err := read.Wait(); err != nil {
		t.Errorf("the command that hung: %v", err)
	}
	io("write -P 5 1M 64k", "flush")
	asUser(t, image, "fault", image, "--clear", "flush: lost")
	io("write -P 6 1M 64k", "write -P 7 2M 4k")
	if out := asUser(t, image, "powercut", image); !strings.Contains(out, ": 68 KiB that was not flushed is lost\n") {
		t.Errorf("said %q", out)
	}
	if out := io("read 1M 4k"); !strings.Contains(out, "NOT READY") {
		t.Errorf("without power: %s", out)
	}
	asUser(t, image, "powercut", "--on", image)
	if out := io("read -P 5 1M 64k", "read -P 0 2M 4k"); strings.Contains(out, "failed") {
		t.Errorf("with power: %s", out)
	}
	s.ends()
}

// A disk that is reached at two portals is used while one of them is cut, then the other.
func TestUserspaceHasTwoPaths(t *testing.T) {
	needTarget(t)
	i := newInitiator(t)
	s, first, image := startAsUser(t, 32<<20, "--portal=127.0.0.2", "--portal=127.0.0.3")
	second := strings.Replace(first, "127.0.0.2", "127.0.0.3", 1)
	var nodes []*node
	var paths, serials []string
	for _, url := range []string{first, second} {
		n := i.node(itsName, url, "node.conn[0].timeo.noop_out_interval", "1", "node.conn[0].timeo.noop_out_timeout", "1")
		nodes, paths = append(nodes, n), append(paths, n.login())
		serials = append(serials, run(t, "sg_inq", "-p", "0x83", paths[len(paths)-1]))
	}
	if serials[0] != serials[1] {
		t.Errorf("the paths lead to %s and %s", serials[0], serials[1])
	}
	t.Setenv("DM_DISABLE_UDEV", "1") // dmsetup makes the node
	run(t, "modprobe", "dm_multipath")
	run(t, "modprobe", "dm_round_robin")
	run(t, "dmsetup", "create", "two-paths", "--table",
		fmt.Sprintf("0 %d multipath 1 queue_if_no_path 0 1 1 round-robin 0 2 1 %s 1 %s 1", 32<<20/512, paths[0], paths[1]))
	removed := false
	remove := func() {
		if !removed {
			run(t, "dmsetup", "message", "two-paths", "0", "fail_if_no_path")
			run(t, "dmsetup", "remove", "--retry", "two-paths")
		}
		removed = true
	}
	t.Cleanup(remove)

	v := verify(t, "/dev/mapper/two-paths")
	failed := func(path string) bool {
		status := strings.Fields(run(t, "dmsetup", "status", "two-paths"))
		dev := sys(t, path, "dev")
		at := slices.Index(status, dev)
		return status[at+1] == "F"
	}
	for n, address := range []string{"127.0.0.2", "127.0.0.3"} {
		run(t, "ip", "route", "add", "blackhole", address+"/32", "table", "local")
		i.eventually(func() bool { return failed(paths[n]) })
		write(t, "/dev/mapper/two-paths", 24<<20, noise(1<<20, byte(n)))
		run(t, "ip", "route", "del", "blackhole", address+"/32", "table", "local")
		i.eventually(func() bool { return sys(t, paths[n], "device/state") == "running" })
		run(t, "dmsetup", "message", "two-paths", "0", "reinstate_path", paths[n])
		if failed(paths[n]) {
			t.Errorf("%s has failed again", paths[n])
		}
	}
	v.ends()
	remove()
	for _, n := range nodes {
		n.logout()
	}
	s.ends()
	holds(t, image, 24<<20, noise(1<<20, 1))
}

// cutLoopback has nothing arrive at addresses of this machine for some time.
func cutLoopback(t *testing.T, d time.Duration) {
	t.Helper()
	run(t, "ip", "link", "set", "lo", "down")
	defer run(t, "ip", "link", "set", "lo", "up")
	time.Sleep(d)
}
