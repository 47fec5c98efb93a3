package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// An Export is an image that a lunserve of this machine serves, or did until it
// was killed.
type Export struct {
	Name  string   // as [Device.Name]
	Image string   // its path, as the lunserve was told it
	PID   int      // of the lunserve
	Alive bool     // it runs, and has not been killed
	UIO   string   // the ring, such as "/dev/uio0"; empty before there is one
	Size  int64    // in bytes
	Nodes []string // its own on this machine, such as "/dev/sdb"

	device string // core/user_N/lunserve-…
	server process
}

// An attachment is a LUN that a device is.
type attachment struct {
	lun  string // loopback/naa.…/tpgt_1/lun/lun_0
	scsi string // the folder of its disk in sysfs; of loopback alone
}

// tpg is loopback/naa.…/tpgt_1.
func (a attachment) tpg() string { return path.Dir(path.Dir(a.lun)) }

// target is loopback/naa.…
func (a attachment) target() string { return path.Dir(a.tpg()) }

// Exports are all that lunserve has made on this machine, whichever process it
// was, in the order of their HBAs.
func Exports() ([]Export, error) { return host.exports() }

func (m machine) exports() (list []Export, err error) {
	// Where there is no target there are no exports. A folder that is being
	// read may go meanwhile.
	hbas, err := os.ReadDir(filepath.Join(m.configfs(), "target/core"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, hba := range hbas {
		if !strings.HasPrefix(hba.Name(), "user_") {
			continue
		}
		for _, dir := range m.glob(m.configfs(), "target/core", hba.Name(), prefix+"*") {
			e, err := m.export(path.Join("core", hba.Name(), filepath.Base(dir)))
			switch {
			case err == nil:
				list = append(list, e)
			case !errors.Is(err, fs.ErrNotExist):
				return nil, err
			}
		}
	}
	return list, nil
}

// export reads what there is to know of a device.
func (m machine) export(device string) (e Export, err error) {
	get := func(name string) (value string) {
		if err == nil {
			value, err = readAttribute(m.configfs(), "target", device, name)
		}
		return value
	}
	hba, base := path.Split(device)
	e.device, e.Name = device, strings.TrimPrefix(base, prefix)
	e.Image = get("udev_path")
	e.server = parseProcess(get("alias"))
	config := get("attrib/dev_config")
	e.Size, _ = strconv.ParseInt(get("attrib/dev_size"), 10, 64)
	if err != nil {
		return e, err
	}
	e.PID = e.server.pid
	e.Alive = m.runs(e.server) && !m.isDying(e.server)
	if n, err := strconv.Atoi(strings.TrimPrefix(path.Base(hba), "user_")); err == nil {
		e.UIO, _ = m.uio(ringName(n, base, config)) // there is none until the device is enabled
	}
	for _, a := range m.attachments(device) {
		if a.scsi == "" {
			continue
		}
		for _, block := range subdirs(a.scsi + "/block") {
			e.Nodes = append(e.Nodes, filepath.Join(m.dev, block))
		}
	}
	return e, nil
}

// ringName is what the kernel calls the ring of a device.
func ringName(hba int, device, config string) string {
	return fmt.Sprintf("tcm-user/%d/%s/%s", hba, device, config)
}

// attachments are the LUNs that the device is. They are found by the number
// that the kernel gives to a device, and not by the link in the folder of the
// LUN: as long as that link goes, and nobody answers what the kernel asks of the
// disk meanwhile, nobody can look into the folder.
func (m machine) attachments(device string) (list []attachment) {
	root := filepath.Join(m.configfs(), "target")
	index, err := readAttribute(root, device, "statistics/scsi_dev/indx")
	if err != nil {
		return nil
	}
	for _, dir := range m.glob(root, "*/*/*/lun/lun_*") {
		if m.deviceOf(dir) != index {
			continue
		}
		a := attachment{lun: strings.TrimPrefix(dir, root+"/")}
		if address, err := readAttribute(root, a.tpg(), "address"); err == nil {
			number := strings.TrimPrefix(path.Base(a.lun), "lun_")
			a.scsi = filepath.Join(m.sys, "bus/scsi/devices", address+":"+number)
		}
		list = append(list, a)
	}
	return list
}

// deviceOf is the number of the device that a LUN is; empty if it is none.
func (m machine) deviceOf(lun string) string {
	index, _ := readAttribute(lun, "statistics/scsi_port/dev")
	return index
}

// children are the names of the folders in a folder, if that is there.
func subdirs(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}
