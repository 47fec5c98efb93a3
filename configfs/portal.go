package configfs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// checkPortal tells whether the kernel could listen at p. It does not say why
// not when it is asked to.
func (m machine) checkPortal(p netip.AddrPort) error {
	if p.Port() == 0 {
		return fmt.Errorf("%s: no portal without a port; try port 3260", p)
	}
	var nearby string // another target at the same port
	for _, np := range m.glob(m.configfs(), "target/iscsi/*/tpgt_*/np/*") {
		other, err := netip.ParseAddrPort(filepath.Base(np))
		switch {
		case err != nil:
		case other == p:
			return nil // targets may share a portal
		case other.Port() == p.Port():
			nearby = fmt.Sprintf("the kernel's target %s listens at %s; try --portal %[2]s",
				filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(np)))), other)
		}
	}
	err := tryListen(p)
	switch {
	case errors.Is(err, unix.EADDRINUSE) && nearby != "":
		return fmt.Errorf("%s: %w: %s", p, err, nearby)
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%s: %w; try ss -ltnp sport = :%d to see by whom, or another --portal", p, err, p.Port())
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%s: not an address of this machine: %w; try ip address", p, err)
	case err != nil:
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}

// bindable listens for a moment as the kernel's target would, but only at an
// address that the machine has.
func tryListen(p netip.AddrPort) error {
	family, where, err := sockaddr(p)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, where); err != nil {
		return err
	}
	return unix.Listen(fd, 1)
}

func sockaddr(p netip.AddrPort) (family int, where unix.Sockaddr, err error) {
	if p.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Addr: p.Addr().As4(), Port: int(p.Port())}, nil
	}
	in6 := &unix.SockaddrInet6{Addr: p.Addr().As16(), Port: int(p.Port())}
	if zone := p.Addr().Zone(); zone != "" {
		link, err := net.InterfaceByName(zone)
		if err != nil {
			return 0, nil, err
		}
		in6.ZoneId = uint32(link.Index)
	}
	return unix.AF_INET6, in6, nil
}

// listens tells whether somebody listens at p. A connection would tell, too, but
// the kernel's log would call it a failed login.
func checkListening(p netip.AddrPort) error {
	if err := tryListen(p); !errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("%s: the kernel does not listen, though it was told to; try dmesg | tail", p)
	}
	return nil
}
