package qcow2_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/qcow2"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// images are made by QEMU, each in a folder of its own from the raw image $in and
// with the backing file $base, which is shorter. The image is $out.
var images = []struct{ name, make string }{
	{"version 3", "qemu-img convert -O qcow2 $in $out"},
	{"version 2", "qemu-img convert -O qcow2 -o compat=0.10 $in $out"},
	{"clusters of 512 bytes", "qemu-img convert -O qcow2 -o cluster_size=512 $in $out"},
	{"clusters of 4 KiB", "qemu-img convert -O qcow2 -o cluster_size=4k $in $out"},
	{"clusters of 2 MiB", "qemu-img convert -O qcow2 -o cluster_size=2M $in $out"},
	{"refcounts of 1 bit", "qemu-img convert -O qcow2 -o refcount_bits=1 $in $out"},
	{"zlib", "qemu-img convert -O qcow2 -c $in $out"},
	{"zlib, version 2", "qemu-img convert -O qcow2 -c -o compat=0.10 $in $out"},
	{"zlib, clusters of 512 bytes", "qemu-img convert -O qcow2 -c -o cluster_size=512 $in $out"},
	{"zlib, clusters of 2 MiB", "qemu-img convert -O qcow2 -c -o cluster_size=2M $in $out"},
	{"zlib, extended L2", "qemu-img convert -O qcow2 -c -o extended_l2=on $in $out"},
	{"zstd", "qemu-img convert -O qcow2 -c -o compression_type=zstd $in $out"},
	{"zstd, clusters of 4 KiB", "qemu-img convert -O qcow2 -c -o compression_type=zstd,cluster_size=4k $in $out"},
	{"zstd, clusters of 2 MiB, extended L2", "qemu-img convert -O qcow2 -c -o compression_type=zstd,cluster_size=2M,extended_l2=on $in $out"},
	{"metadata preallocated", "qemu-img create -q -f qcow2 -o preallocation=metadata $out 8M"},
	{"metadata preallocated, extended L2", "qemu-img create -q -f qcow2 -o preallocation=metadata,extended_l2=on,cluster_size=16k $out 8M"},
	{"fully preallocated", "qemu-img create -q -f qcow2 -o preallocation=full $out 8M && qemu-io -f qcow2 -c 'write -q -P 5 1M 3M' $out"},
	{"compressed and written over", "qemu-img convert -O qcow2 -c $in $out && qemu-io -f qcow2 -c 'write -q -P 7 100k 200k' -c 'write -q -z 1M 64k' -c 'write -q -z -u 2M 192k' -c 'discard -q 3M 1M' $out"},
	{"extended L2 and written over", "qemu-img convert -O qcow2 -o extended_l2=on $in $out && qemu-io -f qcow2 -c 'write -q -P 7 100k 2k' -c 'write -q -z 1M 2k' -c 'write -q -z -u 2050k 4k' -c 'discard -q 3M 10k' $out"},
	{"written here and there", "qemu-img create -q -f qcow2 $out 8389120 && qemu-io -f qcow2 -c 'write -q -P 7 1000k 3k' -c 'write -q -P 9 8M 512' $out"},
	{"extended L2, written here and there", "qemu-img create -q -f qcow2 -o extended_l2=on $out 8M && qemu-io -f qcow2 -c 'write -q -P 7 1000k 3k' -c 'write -q -P 9 8190k 1k' $out"},
	{"an overlay", "qemu-img create -q -f qcow2 -b $base -F raw $out 8M && qemu-io -f qcow2 -c 'write -q -P 7 100k 200k' -c 'write -q -z 500k 64k' -c 'write -q -z 64k 64k' -c 'discard -q 1M 64k' $out"},
	{"an overlay with extended L2", "qemu-img create -q -f qcow2 -b $base -F raw -o extended_l2=on $out 8M && qemu-io -f qcow2 -c 'write -q -P 7 100k 3k' -c 'write -q -z 500k 4k' -c 'write -q -z 62k 64k' -c 'discard -q 1M 64k' $out"},
	{"an overlay of version 2", "qemu-img create -q -f qcow2 -b $base -F raw -o compat=0.10 $out 8M && qemu-io -f qcow2 -c 'write -q -P 7 100k 200k' -c 'discard -q 1M 64k' $out"},
	{"a compressed overlay", "qemu-img convert -O qcow2 -c -B $base -F raw $in $out"},
	{"snapshots", "qemu-img convert -O qcow2 -c $in $out && qemu-img snapshot -c a $out && qemu-io -f qcow2 -c 'write -q -P 7 100k 200k' $out && qemu-img snapshot -c b $out && qemu-io -f qcow2 -c 'write -q -P 8 200k 200k' -c 'discard -q 2M 1M' $out"},
	{"made longer", "qemu-img convert -O qcow2 $in $out && qemu-img resize -q -f qcow2 $out 3G"},
	{"made shorter", "qemu-img convert -O qcow2 $in $out && qemu-img resize -q -f qcow2 --shrink $out 1000448"},
	{"bitmaps", "qemu-img convert -O qcow2 $in $out && qemu-img bitmap -f qcow2 --add $out b && qemu-io -f qcow2 -c 'write -q -P 8 200k 200k' $out"},
	{"not closed", "qemu-img convert -O qcow2 -o lazy_refcounts=on $in $out && qemu-io -f qcow2 -c 'write -q -P 8 200k 200k' -c flush -c abort $out || true"},
}

// suite are the images that the suite of all stores is run on.
var suite = []string{"version 2", "zlib, version 2", "zstd, clusters of 2 MiB, extended L2", "an overlay with extended L2"}

// Every image holds what qemu-img says, and is a store like any other.
func TestImagesOfQEMU(t *testing.T) {
	dir := storetest.MemDir(t)
	in, base := filepath.Join(dir, "in"), filepath.Join(dir, "base")
	disk := storetest.Contents(8<<20 + 512)
	for path, n := range map[string]int{in: len(disk), base: 5<<20 + 1536} {
		p := append([]byte(nil), disk[:n]...)
		if path == base {
			for i := range p {
				p[i] ^= 0x55
			}
		}
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, tt := range images {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(dir, fmt.Sprint(i))
			want := out + ".raw"
			defer os.Remove(want)
			storetest.Command(t, "sh", "-uc", "in="+in+" base="+base+" out="+out+"\n"+tt.make)
			storetest.Command(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", out, want)
			backing := ""
			if strings.Contains(tt.make, "$base") {
				backing = base
			}
			compare(t, open(t, out, backing), want)
			if !slices.Contains(suite, tt.name) {
				return
			}
			storetest.Run(t, func(t testing.TB) backstores.Backstore {
				m, err := openImage(t, out, backing)
				if err != nil {
					t.Fatal(err)
				}
				return m
			})
		})
	}
}

// compare compares a store with a raw file.
func compare(t testing.TB, s backstores.Backstore, path string) {
	t.Helper()
	f, err := raw.Open(t.Context(), path, raw.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	storetest.Same(t, s, f)
}

func openImage(t testing.TB, path, backing string) (*qcow2.Image, error) {
	t.Helper()
	f, err := raw.Open(t.Context(), path, raw.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := qcow2.Open(path, f, qcow2.Config{Memory: 32 << 20})
	if err != nil {
		f.Close()
		return nil, err
	}
	if backing != "" {
		b, err := raw.Open(t.Context(), backing, raw.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		m.Attach(b)
	}
	return m, nil
}

func open(t testing.TB, path, backing string) *qcow2.Image {
	t.Helper()
	m, err := openImage(t, path, backing)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}
