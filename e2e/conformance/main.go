// Command conformance runs iscsi-test-cu, the test suite of libiscsi, on lunserve's
// disks, with the kernel's target and with --userspace, and on LIO's, the kernel's own,
// in one boot. It writes a table,
// conformance.md, and the suite's output.
//
// It runs each family of tests on its own, so that one that hangs does not
// affect the others. A test that reports that it skipped itself counts as
// skipped, although the suite counts it as passed. reasons.txt has the reasons
// for tests that are skipped or fail. It needs root, a kernel with TCM-USER,
// Debian's package libiscsi-bin, lunserve on PATH and a SCSI disk of QEMU's:
// e2e/vm -s has them.
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
	out    = flag.String("o", os.Getenv("VM_OUT"), "the `folder` for conformance.md and the logs")
	limit  = flag.Duration("limit", 5*time.Minute, "time limit of a family")
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

// run runs the named families, or all, and reports whether each test that lunserve
// does not pass has a reason. The report covers all families that have logs, those of
// earlier runs included.
func run(names []string) (ok bool, err error) {
	all, err := families()
	if err != nil {
		return false, err
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(all))
	}
	// As any program that makes targets does.
	for _, module := range []string{"target_core_user", "target_core_file", "target_core_pscsi", "iscsi_target_mod", "virtio_scsi"} {
		exec.Command("modprobe", module).Run() // fails for those built in
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

	for _, p := range []peer{lunserve{}, lunserve{userspace: true}, fileio{}, pscsi{}} {
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
	f, err := os.Create(filepath.Join(*out, "conformance.md"))
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
