package control

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/hint"
)

// Names are bytes: a JSON string would make one name of many.
func TestStringsPassTheSocketByteForByte(t *testing.T) {
	names := []string{"", "disk.img", "p\xe9.img", "p\xe8.img", "\x00", "\x00cA==", "\xff\n\u2028", "Größe", "\uFFFD", "\\xe9"}
	for range 1000 {
		b := make([]byte, rand.IntN(8))
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		names = append(names, string(b))
	}
	hits := 0.0
	for _, name := range names {
		disk := Disk{Name: name, Image: name, Overlay: name, Users: []inuse.User{{Kind: inuse.Mount, Where: name, Command: name}}, Rates: &Rates{Hits: &hits}}
		said := reply{Disks: []Disk{disk}, Waits: name}.failure(hint.Try(errors.New("a"+name), "ls", name))
		before := said
		var wire bytes.Buffer
		c := newCodec(&wire, maxReply)
		var heard reply
		if err := errors.Join(c.write(said), c.read(&heard)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(heard, said) {
			t.Errorf("%q:\nheard %+v\n want %+v", name, heard, said)
		}
		if !reflect.DeepEqual(said, before) || said.Disks[0].Image != name {
			t.Errorf("%q: the reply was changed", name)
		}
	}
}
