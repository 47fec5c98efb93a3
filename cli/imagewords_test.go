package cli

import (
	"os"
	"slices"
	"testing"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
)

func TestWordsOfAnImage(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"a.img", "b,ro", "c.img"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	part := serve.Part{Partition: 2}
	for arg, want := range map[string]serve.Image{
		"a.img":                         {Path: "a.img"},
		"a.img,ro":                      {Path: "a.img", ReadOnly: true},
		"a.img,rw":                      {Path: "a.img"},
		"a.img,snapshot,partition=2":    {Path: "a.img", Snapshot: true, Part: part},
		"a.img,partition=2,overlay=o":   {Path: "a.img", Overlay: "o", Part: part},
		"a.img,ro,overlay=o":            {Path: "a.img", Overlay: "o", ReadOnly: true},
		"a.img,offset=1M,sizelimit=4KB": {Path: "a.img", Part: serve.Part{Offset: 1 << 20, Limit: 4000}},
		"b,ro":                          {Path: "b,ro"}, // is a file
		"b,ro,snapshot":                 {Path: "b,ro", Snapshot: true},
		"missing,ro":                    {Path: "missing", ReadOnly: true},
		"missing,x":                     {Path: "missing,x"},
		",ro":                           {Path: ",ro"},
		"https://host/a,b,ro":           {Path: "https://host/a,b", ReadOnly: true},
	} {
		got, _, err := parseImage(arg, serve.Image{})
		if got != want || err != nil {
			t.Errorf("%s: %+v, %v", arg, got, err)
		}
	}
	for arg, want := range map[string]string{
		"a.img,ro,rw":                "a.img: ro,rw: these words contradict each other",
		"a.img,snapshot,overlay=o":   "a.img: snapshot,overlay=o: these words contradict each other",
		"a.img,partition=0":          `a.img: partition: "0" is not the number of a partition, such as 1`,
		"a.img,partition=1,offset=1": "a.img: partition says where the part begins and ends; leave out offset and sizelimit",
		"a.img,snapshto":             `a.img: "snapshto" is not one of ro, rw, snapshot, overlay=FILE, partition=N, offset=SIZE, sizelimit=SIZE; did you mean a.img,snapshot?`,
		"a.img,overlay=":             `a.img: "overlay=" is not one of ro, rw, snapshot, overlay=FILE, partition=N, offset=SIZE, sizelimit=SIZE`,
	} {
		if _, _, err := parseImage(arg, serve.Image{}); err == nil || hint.Text(err) != want {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

// Words replace the flags for their image alone, and only rw takes --read-only back.
func TestWordsReplaceFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	first, second := serve.Part{Partition: 1}, serve.Part{Partition: 2}
	for _, tt := range []struct {
		c    serveCmd
		want []serve.Image
		err  string
	}{
		{serveCmd{Images: []string{"a", "b,rw", "c,overlay=o", "d,partition=1"}, ReadOnly: true, Scratch: []size{512}},
			[]serve.Image{{Path: "a", ReadOnly: true}, {Path: "b"}, {Path: "c", ReadOnly: true, Overlay: "o"}, {Path: "d", ReadOnly: true, Part: first}, {Scratch: 512}}, ""},
		{serveCmd{Images: []string{"a,rw,overlay=o", "b"}, ReadOnly: true}, []serve.Image{{Path: "a", Overlay: "o"}, {Path: "b", ReadOnly: true}}, ""},
		{serveCmd{Images: []string{"a", "b,ro"}, layerFlags: layerFlags{Snapshot: true}}, []serve.Image{{Path: "a", Snapshot: true}, {Path: "b", ReadOnly: true}}, ""},
		{serveCmd{Images: []string{"a,snapshot"}, ReadOnly: true}, nil, "a: --read-only refuses the writes that snapshot is for; leave out one of them"},
		{serveCmd{Images: []string{"a,rw"}, ReadOnly: true}, nil, "--read-only: the words behind the image say something else; leave out one of them"},
		{serveCmd{Images: []string{"a,ro"}, layerFlags: layerFlags{Overlay: "o"}}, nil, "--overlay: the words behind the image say something else; leave out one of them"},
		{serveCmd{Images: []string{"a,ro", "b,rw"}, layerFlags: layerFlags{Snapshot: true}}, nil, "--snapshot: the words behind the image say something else; leave out one of them"},
		{serveCmd{Images: []string{"a,partition=2"}, partFlags: partFlags{Partition: 1}}, nil, "--partition, --offset and --sizelimit: the words behind the image say something else; leave out one of them"},
		{serveCmd{Images: []string{"a,partition=2"}}, []serve.Image{{Path: "a", Part: second}}, ""},
		{serveCmd{Scratch: []size{512}, ReadOnly: true}, []serve.Image{{Scratch: 512}}, ""}, // which check refuses
	} {
		got, err := tt.c.images()
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.err == "") || err != nil && hint.Text(err) != tt.err {
			t.Errorf("%v: %+v, %v", tt.c.Images, got, err)
		}
	}
}

// A file system that is mounted here has no other writer.
func TestMountRefusesOtherWriters(t *testing.T) {
	mount := runFlags{MountDir: "/mnt"}
	for _, tt := range []struct {
		fabrics  targetFlags
		writable bool
		want     string
	}{
		{targetFlags{ISCSI: true, Loopback: true}, true, "--mount is for a disk that no initiator writes; leave out --iscsi and --vhost, or add --loopback and --read-only"},
		{targetFlags{Vhost: true, Loopback: true}, true, "--mount is for a disk that no initiator writes; leave out --iscsi and --vhost, or add --loopback and --read-only"},
		{targetFlags{ISCSI: true}, false, "--mount is for a disk that no initiator writes; leave out --iscsi and --vhost, or add --loopback and --read-only"},
		{targetFlags{ISCSI: true, Userspace: true}, false, "--mount is for a local disk, and --userspace makes none; leave out one of them"},
	} {
		c := serveCmd{Images: []string{"a"}, targetFlags: tt.fabrics, runFlags: mount}
		if err := c.check(tt.writable); err == nil || hint.Text(err) != tt.want {
			t.Errorf("%+v: %v", tt.fabrics, err)
		}
	}
}
