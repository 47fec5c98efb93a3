package serve

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
)

// kernelISCSI makes an iSCSI target of the kernel.
type kernelISCSI struct {
	image   string // the first, which names the target
	named   bool   // by the user
	adopted bool
	silent  bool // it has warned before
	options *ISCSI
	spec    configfs.ISCSISpec
	target  *configfs.ISCSI
	console *console.Console
}

// newISCSI reads the CHAP file, and warns of portals without authentication. The
// program before, if any, has done both.
func newISCSI(ctx context.Context, image string, o *ISCSI, readOnly bool, c *console.Console, before *handOver) (*kernelISCSI, error) {
	f := &kernelISCSI{image: image, named: o.IQN != "", options: o, console: c, spec: configfs.ISCSISpec{
		IQN: o.IQN, Portals: o.Portals, Allow: o.Allow, ReadOnly: readOnly,
	}}
	if before != nil {
		f.spec.CHAP, f.silent = before.CHAP, true
		return f, nil
	}
	var err error
	f.spec.CHAP, err = o.credentials(ctx, readOnly, c)
	return f, err
}

// credentials reads the CHAP file, if there is one, and warns of portals without
// authentication.
func (o *ISCSI) credentials(ctx context.Context, readOnly bool, c *console.Console) (chap *configfs.CHAP, err error) {
	if o.CHAPFile != "" {
		if chap, err = readCHAP(ctx, o.CHAPFile); err != nil {
			return nil, err
		}
	}
	for _, err := range o.warnOfOthers(readOnly) {
		c.Warn(err)
	}
	return chap, nil
}

func (f *kernelISCSI) kind() string { return "iscsi" }

func (f *kernelISCSI) adopt(target string) error {
	if f.named && f.spec.IQN != target {
		return fmt.Errorf("the name is to be %s", f.spec.IQN)
	}
	f.spec.IQN, f.adopted = target, true
	return f.spec.CheckAdoption()
}

// check also chooses the target's name.
func (f *kernelISCSI) check() error {
	if f.adopted {
		return nil
	}
	if f.named {
		return f.spec.Check()
	}
	return firstFreeName(f.image, func(n int) (err error) {
		if f.spec.IQN, err = configfs.IQN(f.image, fmt.Sprint("target ", n)); err != nil {
			return err
		}
		return f.spec.Check()
	})
}

func (f *kernelISCSI) up(_ context.Context, disks []*disk, down, last *configfs.Undo) (all []address, err error) {
	if err := f.options.warnOfUsers(disks, f.spec.ReadOnly); err != nil && !f.silent {
		f.console.Warn(err)
	}
	make := configfs.NewISCSI
	if f.adopted {
		make = configfs.AdoptISCSI
	}
	if f.target, err = make(f.spec); err != nil {
		return nil, err
	}
	last.Push(f.target.Close)
	for n, d := range disks {
		down.For(lunName(n)).Push(func() error { return f.target.RemoveLUN(n) })
		if err := f.target.AddLUN(n, d.device.kernel); err != nil {
			return nil, err
		}
		all = append(all, iscsiAddress(f.spec.Portals[0], f.spec.IQN, n))
	}
	down.For("sessions").Push(f.target.Disable)
	if err := f.target.Enable(); err != nil {
		return nil, err
	}
	if len(f.spec.Portals) > 1 {
		var portals []string
		for _, p := range f.spec.Portals {
			portals = append(portals, p.String())
		}
		f.console.Say("%s: at %s", f.spec.IQN, strings.Join(portals, ", "))
	}
	return all, nil
}

// iscsiAddress returns the address of a LUN.
func iscsiAddress(portal netip.AddrPort, iqn string, lun int) address {
	if portal.Addr().IsUnspecified() {
		portal = reachable(portal)
	}
	return address{portal: portal.String(), iqn: iqn, lun: lun}
}

func (f *kernelISCSI) users(address) []inuse.User { return initiatorUsers(f.target.Initiators()) }

func initiatorUsers(names []string) (all []inuse.User) {
	for _, name := range names {
		all = append(all, inuse.User{Kind: inuse.Initiator, Where: name})
	}
	return all
}

// shared reports whether several initiators are logged in.
func (f *kernelISCSI) shared() bool { return len(f.target.Initiators()) > 1 }

// nexuses records the TCP connections, and returns a function that reports whether
// any of them remains: a session has one, unless its initiator asks for more. If
// they cannot be read, it reports true.
func (f *kernelISCSI) nexuses() (remain func() bool) {
	then, err := configfs.Connections(f.spec.Portals)
	return func() bool {
		now, err2 := configfs.Connections(f.spec.Portals)
		return err != nil || err2 != nil ||
			slices.ContainsFunc(then, func(c netip.AddrPort) bool { return slices.Contains(now, c) })
	}
}

// reachable returns where other machines reach a portal that listens at all
// addresses: the first global unicast address of this machine or, without one,
// the loopback address.
func reachable(p netip.AddrPort) netip.AddrPort {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().IsGlobalUnicast() && ip.Unmap().Is4() == p.Addr().Is4() {
			return netip.AddrPortFrom(ip.Unmap(), p.Port())
		}
	}
	if p.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), p.Port())
}
