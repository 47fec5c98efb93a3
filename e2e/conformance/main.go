// Command conformance holds lunserve's disks to iscsi-test-cu, the test suite of
// libiscsi, and LIO's, the kernel's own, beside them in one boot. It writes a
// table, CONFORMANCE.md, and everything that the suite printed.
//
// Each family of tests is run by itself, so that one that hangs costs no other.
// A test that says that it skipped itself counts as skipped, though the suite
// calls it passed. The reasons for what is skipped or fails stand in
// reasons.txt. It needs root, a kernel that has TCM-USER, Debian's package
// libiscsi-bin, lunserve on the PATH, and a SCSI disk of QEMU's: e2e/vm -s has
// them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

var (
	out    = flag.String("o", os.Getenv("VM_OUT"), "the `folder` for CONFORMANCE.md and the logs")
	limit  = flag.Duration("limit", 5*time.Minute, "how long one family may take")
	binary = flag.String("lunserve", "lunserve", "the `program` to test")
)

func main() {
	flag.Parse()
	ok, err := run(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// run runs the families named, or all, and tells whether lunserve did as well
// as can be. The report is of all whose logs are there then.
func run(names []string) (ok bool, err error) {
	all, err := families()
	if err != nil {
		return false, err
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(all))
	}
	// As any program that makes targets would.
	for _, module := range []string{"target_core_user", "target_core_file", "target_core_pscsi", "iscsi_target_mod", "virtio_scsi"} {
		exec.Command("modprobe", module).Run() // what it cannot load may be built in
	}
	if _, err := os.Stat(root); err != nil {
		if err := exec.Command("mount", "-t", "configfs", "configfs", filepath.Dir(root)).Run(); err != nil {
			return false, fmt.Errorf("mount configfs: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)

	for _, p := range []peer{lunserve{}, fileio{}, pscsi{}} {
		logs := filepath.Join(*out, "conformance", p.name())
		if err := os.MkdirAll(logs, 0o755); err != nil {
			return false, err
		}
		for _, family := range names {
			if !p.tries(family) {
				continue
			}
			var log []byte
			start := time.Now()
			for _, tests := range runs(family, all[family]) {
				text, err := runFamily(p, dir, family, tests)
				if err != nil {
					return false, fmt.Errorf("%s, %s: %w", p.name(), family, err)
				}
				log = append(log, text...)
			}
			if err := os.WriteFile(filepath.Join(logs, family+".log"), log, 0o644); err != nil {
				return false, err
			}
			pass, skip, fail := parse(log).count()
			fmt.Printf("%-10s %-24s %3d %3d %3d  %v\n", p.name(), family, pass, skip, fail, time.Since(start).Round(100*time.Millisecond))
		}
	}
	r, err := read(filepath.Join(*out, "conformance"))
	if err != nil {
		return false, err
	}
	f, err := os.Create(filepath.Join(*out, "CONFORMANCE.md"))
	if err != nil {
		return false, err
	}
	unexplained, err := r.write(f)
	err = errors.Join(err, f.Close())
	for _, test := range unexplained {
		fmt.Printf("no reason in reasons.txt: %s\n", test)
	}
	return len(unexplained) == 0, err
}
