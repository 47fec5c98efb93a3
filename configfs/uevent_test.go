package configfs

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const properties = "ACTION=add\x00DEVPATH=/devices/x/2:0:1:0/block/sdb\x00SUBSYSTEM=block\x00DEVNAME=sdb\x00DEVTYPE=disk\x00SEQNUM=7\x00"

var fromKernel = &unix.SockaddrNetlink{Groups: kernelGroup}
var fromUdev = &unix.SockaddrNetlink{Groups: udevGroup, Pid: 812}

// libudev returns a message of udev with these properties.
func libudev(properties string) string {
	b := []byte("libudev\x00")
	b = binary.BigEndian.AppendUint32(b, 0xfeedcafe)
	for _, n := range []int{40, 44, len(properties), 0, 0, 0, 0, 0} { // four bytes of filters before the properties
		b = binary.NativeEndian.AppendUint32(b, uint32(n))
	}
	return string(b) + properties
}

func TestUeventsAreParsed(t *testing.T) {
	disk := uevent{action: "add", devpath: "/devices/x/2:0:1:0/block/sdb", devname: "sdb"}
	byUdev := disk
	byUdev.udev = true
	damaged := func(at int, value uint32) string {
		b := []byte(libudev(properties))
		binary.NativeEndian.PutUint32(b[at:], value)
		return string(b)
	}
	for _, tt := range []struct {
		name string
		from unix.Sockaddr
		msg  string
		want uevent
		ok   bool
	}{
		{"kernel", fromKernel, "add@/devices/x/2:0:1:0/block/sdb\x00" + properties, disk, true},
		{"udev", fromUdev, libudev(properties), byUdev, true},
		{"kernel, but from a process", &unix.SockaddrNetlink{Groups: kernelGroup, Pid: 812}, "add@/x\x00" + properties, uevent{}, false},
		{"udev, but to the kernel's group", &unix.SockaddrNetlink{Groups: kernelGroup, Pid: 812}, libudev(properties), uevent{}, false},
		{"udev's, but from the kernel", &unix.SockaddrNetlink{Groups: udevGroup}, libudev(properties), uevent{}, false},
		{"to nobody's group", &unix.SockaddrNetlink{Pid: 812}, libudev(properties), uevent{}, false},
		{"no address", nil, libudev(properties), uevent{}, false},
		{"kernel's in udev's group", fromUdev, "add@/x\x00" + properties, uevent{}, false},
		{"udev's as the kernel's", fromKernel, libudev(properties), uevent{}, false},
		{"no title", fromKernel, properties, uevent{}, false},
		{"title alone", fromKernel, "add@/x", uevent{}, false},
		{"no properties", fromKernel, "add@/x\x00", uevent{}, false},
		{"empty", fromKernel, "", uevent{}, false},
		{"udev, empty", fromUdev, "", uevent{}, false},
		{"udev, header alone", fromUdev, libudev("")[:40], uevent{}, false},
		{"udev, properties begin past the end", fromUdev, damaged(16, 1<<31), uevent{}, false},
		{"udev, properties end past the end", fromUdev, damaged(20, 1<<32-1), uevent{}, false},
		{"udev, begin and length wrap", fromUdev, damaged(16, 1<<32-1), uevent{}, false},
		{"udev, wrong magic", fromUdev, strings.Replace(libudev(properties), "\xfe\xed", "\xed\xfe", 1), uevent{}, false},
	} {
		got, ok := parseUevent(tt.from, []byte(tt.msg))
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzUevent(f *testing.F) {
	f.Add(true, []byte(libudev(properties)))
	f.Add(false, []byte("add@/x\x00"+properties))
	f.Fuzz(func(t *testing.T, udev bool, msg []byte) {
		from := fromKernel
		if udev {
			from = fromUdev
		}
		if ev, ok := parseUevent(from, msg); ok && (ev.action == "" || ev.devpath == "" || ev.udev != udev) {
			t.Errorf("took %+v for a uevent", ev)
		}
	})
}

func TestWaitForUeventEndsWithTheContext(t *testing.T) {
	s, err := listenUevents()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("interrupted")
	done := make(chan error)
	go func() {
		for {
			if _, err := s.next(ctx); err != nil { // not the machine's own events
				done <- err
				return
			}
		}
	}()
	cancel(gone)
	if err := <-done; !errors.Is(err, gone) {
		t.Errorf("next() = %v", err)
	}
}

// The kernel reports an overflow once, and then silently drops uevents until
// the socket is empty.
func TestLossIsReportedWhenTheSocketIsEmpty(t *testing.T) {
	s, err := listenUevents()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	script := []error{nil, unix.ENOBUFS, nil, unix.EINTR, nil, unix.EAGAIN}
	s.recv = func(_ int, p []byte) (int, unix.Sockaddr, error) {
		err := script[0]
		script = script[1:]
		return copy(p, "add@/x\x00"+properties), fromKernel, err
	}
	for left, want := range []int{5, 3, 1} {
		if _, err := s.next(t.Context()); err != nil || len(script) != want {
			t.Fatalf("event %d: %v, with %d receptions to go", left, err, len(script))
		}
	}
	if _, err := s.next(t.Context()); err != errMissed || len(script) != 0 || s.missed {
		t.Errorf("at the end: %v, with %d receptions to go", err, len(script))
	}
}
