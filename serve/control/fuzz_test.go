package control

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/lunserve/lunserve/hint"
)

// A client may send anything: the server answers lines until the end.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "{}\n", `{"version":1,"do":"show"}` + "\n", `{"version":1,"do":"measure"}` + "\n" + `{"version":1,"do":"measure"}`,
		`{"version":1,"do":"resize","disk":"a","size":-1}` + "\n", `{"version":1,"do":"detach","force":true}` + "\n",
		`{"version":2,"do":"show"}` + "\n", `{"version":1,"do":"\u0000cA=="}` + "\n", `{"version":1,"do":"fault","disk":"a","clear":true,"rules":["x",null]}` + "\n", `{"version":1,"do":"power","disk":"a","on":true,"random":true}` + "\n", `[]`, `{"version":1e9}`, `{"version":1,"version":2,"do":null}` + "\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		h := &fakeHost{size: 512}
		var answers bytes.Buffer
		(&Server{host: h}).talk(t.Context(), newCodec(stream{bytes.NewReader(sent), &answers}, maxRequest))
		if h.measuring != 0 {
			t.Errorf("%d measurements go on", h.measuring)
		}
		c := newCodec(&answers, maxReply)
		for answers := 0; ; answers++ {
			if err := c.read(new(reply)); err == io.EOF {
				break
			} else if err != nil || answers > bytes.Count(sent, []byte("\n")) {
				t.Fatalf("answer %d to %q: %v", answers, sent, err)
			}
		}
	})
}

// A lunserve of another version, or another program, may answer anything.
func FuzzReplies(f *testing.F) {
	for _, seed := range []string{
		"", "{}\n", "[]\n", `{"disks":[{}]}` + "\n", `{"disks":[{"name":"a","rates":{}}]}` + "\n", `{"disks":[null]}` + "\n",
		`{"disks":[{"name":"a","uri":"iscsi://","users":[{"kind":"initiator"},{"kind":"vm","pid":-1},{}]}]}` + "\n",
		`{"error":"x\n","try":[{}]}` + "\n", `{"error":"x","try":[{"words":["\u0000/w=="],"pipe":[""],"output":"\u001b"}]}` + "\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		client := func() *Client {
			conn, other := net.Pipe()
			other.Close()
			c := newClient(1, conn)
			c.codec = newCodec(stream{bytes.NewReader(sent), io.Discard}, maxReply)
			return c
		}
		for _, ask := range []func(c *Client) ([]Disk, error){
			(*Client).Disks,
			(*Client).Measure,
			func(c *Client) ([]Disk, error) { d, err := c.Fault("a", true, nil); return []Disk{d}, err },
			func(c *Client) ([]Disk, error) { d, err := c.PowerCut("a", true); return []Disk{d}, err },
			func(c *Client) ([]Disk, error) { d, err := c.PowerOn("a"); return []Disk{d}, err },
			func(c *Client) ([]Disk, error) { d, err := c.Resize("a", 0); return []Disk{d}, err },
		} {
			disks, err := ask(client())
			if err != nil {
				hint.Text(err)
			}
			for _, d := range disks {
				d.Sentences()
			}
		}
		disks, err := client().Measure()
		for _, d := range disks {
			if err == nil && d.Rates == nil {
				t.Errorf("%q: a disk without rates passes for measured", sent)
			}
		}
	})
}

// A stream has the two directions of a connection.
type stream struct {
	io.Reader
	io.Writer
}
