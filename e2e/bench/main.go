// Command bench compares lunserve with its peers: LIO fileio in the kernel, a loop
// device and, where installed, tcmu-runner's file handler. All serve the same file
// on a tmpfs. fio (jobs.fio) runs on each in turn, so that other load on the machine
// affects all alike. It needs root, a kernel with TCM-USER, fio, and lunserve on
// PATH: e2e/vm has them.
//
// Only the ratios within one run are meaningful, since the machine is mostly
// emulated. With -icount, in a machine whose clock counts instructions (e2e/vm -1),
// the cost of a request is exact, and one round is enough.
package main

import (
	"errors"
	"flag"
	"fmt"
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
	image := filepath.Join(dir, "disk.img")
	if err := fill(image, 1<<30); err != nil {
		return err
	}

	var peers []served
	defer func() { // in reverse order
		for _, p := range slices.Backward(peers) {
			err = errors.Join(err, p.undo.run())
		}
	}()
	for _, p := range all() {
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

// fill makes a file of size bytes, a multiple of 1 MiB, without holes.
func fill(path string, size int) error {
	f, err := os.Create(path)
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
