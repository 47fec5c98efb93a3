package serve

import (
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/hint"
)

func TestStallIsToldOnceAndItsEnd(t *testing.T) {
	start := time.Now()
	s := stall{image: "a.img", try: image.Doctor(nil)}
	for _, tt := range []struct {
		now     int // seconds
		command string
		since   int
		want    string
	}{
		{1, "", 0, ""},
		{5, "READ(10)", 1, ""},
		{6, "READ(10)", 1, "a.img: READ(10) has been waiting for the storage for 5s; try dmesg | tail"},
		{7, "READ(10)", 1, ""},
		{40, "WRITE(10)", 2, ""}, // the same stall
		{42, "WRITE(10)", 41, "a.img: the storage answers again, after 41s"},
		{43, "", 0, ""},
		{50, "a flush", 44, "a.img: a flush has been waiting for the storage for 6s; try dmesg | tail"},
		{51, "", 0, "a.img: the storage answers again, after 7s"},
	} {
		at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
		got := ""
		if err := s.look(at(tt.now), tt.command, at(tt.since)); err != nil {
			got = hint.Text(err)
		}
		if got != tt.want {
			t.Errorf("after %d s: %q, want %q", tt.now, got, tt.want)
		}
	}
}
