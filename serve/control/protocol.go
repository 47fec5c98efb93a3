package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"reflect"

	"github.com/lunserve/lunserve/hint"
)

// version is the version of the protocol. A server answers only requests of its
// own version.
const version = 1

// The longest line that either end accepts, in bytes. A reply has about 1 KiB
// for each disk. The rule of a map of ddrescue may have 65,536 areas.
const (
	maxRequest = 4 << 20
	maxReply   = 16 << 20
)

// A request asks for one thing.
type request struct {
	Version int    `json:"version"`
	Do      verb   `json:"do"`
	Disk    string `json:"disk,omitempty"`  // resize, fault, power: its name
	Size    int64  `json:"size,omitempty"`  // resize: bytes; 0 is the present size of the image
	Force   bool   `json:"force,omitempty"` // detach: disks in use as well

	Rules []string `json:"rules,omitempty"` // fault: to add
	Clear bool     `json:"clear,omitempty"` // fault: remove all others first

	On     bool `json:"on,omitempty"`     // power: restore it
	Random bool `json:"random,omitempty"` // power: lose only a part, at random
}

type verb string

const (
	show    verb = "show"
	measure verb = "measure"
	resize  verb = "resize"
	detach  verb = "detach"
	fault   verb = "fault"
	power   verb = "power"
)

// A reply answers one request.
type reply struct {
	Error string         `json:"error,omitempty"`
	Try   []hint.Command `json:"try,omitempty"` // may fix the error
	Disks []Disk         `json:"disks,omitempty"`
	Waits string         `json:"waits,omitempty"` // detach: the command that must end first
}

// A codec reads and writes objects, one per line, whose strings may be any
// bytes. A line longer than limit is an error and ends the connection.
type codec struct {
	in  *bufio.Scanner
	out *json.Encoder
}

func newCodec(conn io.ReadWriter, limit int) *codec {
	in := bufio.NewScanner(conn)
	in.Buffer(nil, limit)
	return &codec{in, json.NewEncoder(conn)}
}

func (c *codec) read(v any) error {
	if !c.in.Scan() {
		if err := c.in.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	if err := json.Unmarshal(c.in.Bytes(), v); err != nil {
		return err
	}
	to := reflect.ValueOf(v).Elem()
	to.Set(mapStrings(to, decodeString))
	return nil
}

func (c *codec) write(v any) error {
	return c.out.Encode(mapStrings(reflect.ValueOf(v), encodeString).Interface())
}

// failure returns r with an error.
func (r reply) failure(err error) reply {
	if err != nil {
		r.Error, r.Try = hint.Split(err)
	}
	return r
}

// err returns the error of r.
func (r reply) err() error {
	if r.Error == "" {
		return nil
	}
	return hint.With(errors.New(r.Error), r.Try...)
}
