package cli

import (
	"os"
	"slices"
	"strings"
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
		got, layered, err := parseImage(arg)
		if got != want || err != nil {
			t.Errorf("%s: %+v, %v", arg, got, err)
		}
		says := slices.ContainsFunc(strings.Split(strings.TrimPrefix(arg, got.Path), ","), func(w string) bool {
			return w == "ro" || w == "rw" || w == "snapshot" || w == "overlay=o"
		})
		if layered != says {
			t.Errorf("%s: replaces the flags: %v", arg, layered)
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
		if _, _, err := parseImage(arg); err == nil || hint.Text(err) != want {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

// Words replace the flags for their image alone.
func TestWordsReplaceFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	c := serveCmd{Images: []string{"a", "b,rw", "c,snapshot", "d,partition=1"}, ReadOnly: true, Scratch: []size{512}}
	got, err := c.images()
	want := []serve.Image{{Path: "a", ReadOnly: true}, {Path: "b"}, {Path: "c", Snapshot: true}, {Path: "d", ReadOnly: true, Part: serve.Part{Partition: 1}}, {Scratch: 512}}
	if !slices.Equal(got, want) || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
