// Command bench compares lunserve with its peers: LIO fileio in the kernel, a loop
// device and, where installed, tcmu-runner's file handler. All serve a file on a tmpfs,
// the same one if they do not lock it. fio (jobs.fio) runs on each in turn, so that
// other load on the machine affects all alike. It needs root, a kernel with TCM-USER,
// fio, and lunserve on PATH: e2e/vm has them.
//
// Only the ratios within one run are meaningful, since the machine is mostly
// emulated. With -icount, in a machine whose clock counts instructions (e2e/vm -1),
// the cost of a request is exact, and one round is enough.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

var (
	rounds  = flag.Int("rounds", 3, "how often to run each job on each peer; the results are medians")
	seconds = flag.Int("seconds", 4, "how long to measure a job")
	only    = flag.String("jobs", "", "run the jobs whose names match this regular expression")
	icount  = flag.Bool("icount", false, "print instructions, of a clock that counts 32 ns for each; one round")
)

func main() {
	flag.Parse()
	if *icount {
		*rounds = 1
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM)

	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var peers []served
	defer func() { // in reverse order
		for _, p := range slices.Backward(peers) {
			err = errors.Join(err, p.undo.run())
		}
	}()
	for _, p := range all() {
		image := filepath.Join(dir, p.image+".img")
		if err := fill(image, 512<<20); err != nil {
			return err
		}
		s := served{name: p.name}
		s.disk, err = p.serve(image, &s.undo)
		peers = append(peers, s)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}

	results := table{}
	for round := range *rounds {
		for _, job := range jobs() {
			for i := range peers {
				p := peers[(i+round)%len(peers)] // each is first in turn
				select {
				case <-stop:
					return errors.New("interrupted")
				default:
				}
				r, err := fio(job, p.disk, *seconds)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", p.name, job, err)
				}
				results.add(job, p.name, r)
			}
		}
	}
	results.print(os.Stdout, peers)
	return nil
}

// fill makes a file of size bytes, a multiple of 1 MiB, without holes, unless it exists.
func fill(path string, size int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(block)
	for range size / len(block) {
		if _, err := f.Write(block); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}
