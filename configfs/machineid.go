package configfs

import (
	"errors"
	"regexp"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// A machineID tells this machine from others: initiators that reach two machines
// must not take a disk of each for two paths to one.
type machineID struct {
	text  string
	lasts bool // beyond the next boot
}

// machineIDForm is that of machine-id(5). Before the first boot the file of an
// image of a system is empty or "uninitialized".
var machineIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// id returns the ID of this machine. Containers and rescue systems have no
// machine-id. Then the ID is the firmware's or else that of this boot, with the
// name of the host, which differs between the containers of a machine.
func (m machine) id() machineID {
	if id, _ := readAttribute(m.etc, "machine-id"); machineIDForm.MatchString(id) {
		return machineID{id, true}
	}
	host, _ := readAttribute(m.proc, "sys/kernel/hostname")
	uuid, _ := readAttribute(m.sys, "class/dmi/id/product_uuid")
	if digits := strings.ReplaceAll(uuid, "-", ""); strings.Trim(digits, "0") != "" && strings.Trim(digits, "fF") != "" {
		return machineID{uuid + " " + host, true}
	}
	boot, _ := readAttribute(m.proc, "sys/kernel/random/boot_id")
	return machineID{boot + " " + host, false}
}

func (m machine) diagnoseMachineID() Finding {
	f := Finding{About: "machine-id", Is: "tells the disks of this machine from those of others", Minor: true}
	switch id := m.id(); {
	case !id.lasts:
		f.Err = errors.New("none, so disks will have another serial number and WWN after the next boot")
	case !machineIDForm.MatchString(id.text):
		f.Err = errors.New("none, so disks have another serial number and WWN if the host is renamed")
	}
	if f.Err != nil {
		f.Err = hint.Try(f.Err, "systemd-machine-id-setup")
	}
	return f
}
