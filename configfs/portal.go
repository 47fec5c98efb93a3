package configfs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// checkPortal returns an error if the kernel could not listen at p. The kernel
// itself gives no reason.
func (m machine) checkPortal(p netip.AddrPort) error {
	if p.Port() == 0 {
		return hint.Try(fmt.Errorf("%s: a portal needs a port", p), "--portal="+netip.AddrPortFrom(p.Addr(), 3260).String())
	}
	var nearby error // names another target at the same port
	for _, np := range m.glob(m.configfs(), "target/iscsi/*/tpgt_*/np/*") {
		other, err := netip.ParseAddrPort(filepath.Base(np))
		switch {
		case err != nil:
		case other == p:
			return nil // targets may share a portal
		case other.Port() == p.Port():
			target := filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(np))))
			nearby = hint.Try(fmt.Errorf("the kernel's target %s listens at %s", target, other), "--portal="+other.String())
		}
	}
	err := tryListen(p)
	if errors.Is(err, unix.EADDRINUSE) && nearby != nil {
		return fmt.Errorf("%s: %w: %w", p, err, nearby)
	}
	return explainListen(p, err)
}

// CheckPortal returns an error if this process could not listen at p.
func CheckPortal(p netip.AddrPort) error { return explainListen(p, tryListen(p)) }

func explainListen(p netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return hint.With(fmt.Errorf("%s: %w", p, err), hint.Command{
			Words:   []string{"ss", "-ltnp", "sport", "eq", fmt.Sprint(":", p.Port())},
			Purpose: "to see what uses it",
		}, hint.Command{
			Words:   []string{"--portal", "ADDR:PORT"},
			Purpose: "for another address",
		})
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return hint.Try(fmt.Errorf("%s: not an address of this machine: %w", p, err), "ip", "address")
	case err != nil:
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}

// tryListen listens for a moment, as the kernel's target would, but only at
// addresses of this machine.
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

// checkListening returns an error if nothing listens at p. It does not connect:
// the kernel would log a failed login. A process that may not have such a socket
// looks at those of the machine.
func (m machine) checkListening(p netip.AddrPort) error {
	err := tryListen(p)
	is := errors.Is(err, unix.EADDRINUSE)
	if errors.Is(err, unix.EPERM) {
		if is, err = m.listens(p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	if !is {
		return hint.With(fmt.Errorf("%s: the kernel does not listen, though the target is enabled", p), kernelLog)
	}
	return nil
}
