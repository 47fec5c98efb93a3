// Urlbench measures how soon an image on a web server 20 ms away, over a line of
// 50 MB/s, can be used: by lunserve, qemu's and nbdkit's curl, and a download.
//
// It replays the reads by which Linux 6.18 mounted an ext4 of 1 GiB and listed
// five directories, which were recorded once. It needs nginx, and leaves out peers
// that are not installed. It prints the table of docs/performance.md.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/e2e/weblab"
)

const (
	roundTrip = 20 * time.Millisecond
	rate      = 50_000_000
	times     = 5
	size      = 1 << 30
)

// mountReads has the offset and length of each read, in order.
//
//go:embed mount.reads
var mountReads string

type read struct{ off, n int64 }

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() (err error) {
	reads, err := parseReads()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lunserve-urlbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server, err := weblab.StartNginx(dir, "")
	if err != nil {
		return err
	}
	defer server.Stop()
	if err := makeImages(server.Path("disk.img")); err != nil {
		return err
	}
	line, err := weblab.NewLine(server.Addr, roundTrip, rate)
	if err != nil {
		return err
	}
	defer line.Close()
	url := "http://" + line.Addr() + "/disk.img"

	var bytesRead int64
	for _, r := range reads {
		bytesRead += r.n
	}
	fmt.Printf("\n%s, %d CPUs: images at a URL; %d reads, %.1f MiB; medians of %d\n\n| with | first byte | all reads | transferred |\n|---|---|---|---|\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), len(reads), float64(bytesRead)/(1<<20), times)
	for _, way := range []struct {
		name string
		run  func(reads []read) error
	}{
		{"lunserve, packed image", func(r []read) error { return lunserve(url+".zst", r) }},
		{"lunserve, raw image", func(r []read) error { return lunserve(url, r) }},
		{"qemu-io", func(r []read) error {
			return qemuIO("json:{\"driver\":\"raw\",\"file\":{\"driver\":\"http\",\"url\":\""+url+"\"}}", r)
		}},
		{"nbdkit curl", func(r []read) error { return nbdkit(url, r) }},
		{"curl and unzstd", func([]read) error { return command("sh", "-c", "curl -sf "+url+".zst | zstd -dc >/dev/null") }},
	} {
		var first, all []time.Duration
		var sent int64
		for range times {
			d, _, err := timed(line, func() error { return way.run(reads[:1]) })
			if err == nil {
				first = append(first, d)
				d, sent, err = timed(line, func() error { return way.run(reads) })
				all = append(all, d)
			}
			if errors.Is(err, exec.ErrNotFound) {
				break
			}
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
		}
		if len(all) > 0 {
			slices.Sort(first)
			slices.Sort(all)
			fmt.Printf("| %s | %.2f s | %.2f s | %.1f MiB |\n", way.name, first[len(first)/2].Seconds(), all[len(all)/2].Seconds(), float64(sent)/(1<<20))
		}
	}
	return nil
}

// timed returns how long f took, and the bytes that the server sent meanwhile.
func timed(line *weblab.Line, f func() error) (time.Duration, int64, error) {
	before, start := line.Bytes.Load(), time.Now()
	err := f()
	return time.Since(start), line.Bytes.Load() - before, err
}

func parseReads() (all []read, err error) {
	for text := range strings.Lines(mountReads) {
		var r read
		if _, err := fmt.Sscan(text, &r.off, &r.n); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// makeImages makes an image that compresses to about a third, and packs it.
func makeImages(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	src := rand.New(rand.NewPCG(1, 2))
	words := make([][]byte, 4096)
	for i := range words {
		words[i] = fmt.Appendf(nil, "%x ", src.Uint32()>>src.IntN(28))
	}
	var b bytes.Buffer
	for range size >> 20 {
		b.Reset()
		for b.Len() < 1<<20 {
			b.Write(words[src.IntN(len(words))])
		}
		if _, err := f.Write(b.Bytes()[:1<<20]); err != nil {
			return err
		}
	}
	return command("lunserve", "pack", "--frame-size", "256K", path)
}

// lunserve opens an image as lunserve does when it serves one, and reads.
func lunserve(url string, reads []read) error {
	store, err := image.Open(context.Background(), url, image.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer store.Close()
	for _, r := range reads {
		if err := backstores.ReadVec(store, [][]byte{make([]byte, r.n)}, r.off, 0); err != nil {
			return err
		}
	}
	return nil
}

func qemuIO(disk string, reads []read) error {
	return command("qemu-io", append(qemuReads(reads), "-r", disk)...)
}

func qemuReads(reads []read) (args []string) {
	for _, r := range reads {
		args = append(args, "-c", fmt.Sprintf("read %d %d", r.off, r.n))
	}
	return args
}

func nbdkit(url string, reads []read) error {
	var script strings.Builder
	for _, arg := range qemuReads(reads) {
		script.WriteString(" '" + arg + "'")
	}
	return command("nbdkit", "-r", "-U", "-", "curl", url, "--run", "qemu-io -r -f raw"+script.String()+" $uri")
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out[:min(len(out), 2000)])
	}
	return nil
}
