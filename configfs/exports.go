package configfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// An Export is an image that a lunserve on this machine serves, or served until
// it was killed.
type Export struct {
	Name  string   // as [Device.Name]
	Image string   // its path, as given to lunserve
	PID   int      // of the lunserve, as proc shows it
	Alive bool     // whether that process runs and was not killed
	UIO   string   // the ring, such as "/dev/uio0"; empty until it exists
	Size  int64    // in bytes
	Nodes []string // local disks, such as "/dev/sdb"
	LUNs  []LUN    // its places in targets

	Serial, WWN string // as in [Identity]
	Contents    string // as in [Spec]

	device string // core/user_N/lunserve-…
	server process
}

// An attachment is one LUN whose backstore is the device.
type attachment struct {
	lun  string // loopback/naa.…/tpgt_1/lun/lun_0
	scsi string // the sysfs directory of its disk; only for loopback
}

// tpg returns loopback/naa.…/tpgt_1.
func (a attachment) tpg() string { return path.Dir(path.Dir(a.lun)) }

// target returns loopback/naa.….
func (a attachment) target() string { return path.Dir(a.tpg()) }

// place returns the LUN's name in parts.
func (a attachment) place() LUN {
	fabric, target := path.Split(a.target())
	number, _ := strconv.Atoi(strings.TrimPrefix(path.Base(a.lun), "lun_"))
	return LUN{path.Clean(fabric), target, number}
}

// Exports returns all devices that any lunserve made on this machine, by HBA.
func Exports() ([]Export, error) { return host.exports() }

func (m machine) exports() (list []Export, err error) {
	// Without a target there are no exports. A directory may vanish while it is
	// read.
	hbas, err := os.ReadDir(filepath.Join(m.configfs(), "target/core"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	places, rings := m.places(), m.rings()
	for _, hba := range hbas {
		if !strings.HasPrefix(hba.Name(), "user_") {
			continue
		}
		for _, dir := range m.glob(m.configfs(), "target/core", hba.Name(), prefix+"*") {
			e, err := m.export(path.Join("core", hba.Name(), filepath.Base(dir)), places, rings)
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

// export reads the state of a device. What is in places and rings was read once for
// all devices.
func (m machine) export(device string, places map[string][]attachment, rings map[string]string) (e Export, err error) {
	get := func(name string) (value string) {
		if err == nil {
			value, err = readAttribute(m.configfs(), "target", device, name)
		}
		return value
	}
	hba, base := path.Split(device)
	e.device, e.Name = device, strings.TrimPrefix(base, prefix)
	e.Image = get("udev_path")
	mark := parseMark(get("alias"))
	e.server, e.WWN, e.Contents = mark.server, mark.wwn, mark.contents
	e.Serial = m.serialOf(device)
	config := get("attrib/dev_config")
	e.Size, _ = strconv.ParseInt(get("attrib/dev_size"), 10, 64)
	if err != nil {
		return e, err
	}
	if e.server.pid == 0 { // it was just made
		e.server.pid = m.group(filepath.Join(m.configfs(), "target", hba))
	}
	e.PID = e.server.pid
	e.Alive = m.runs(e.server) && !m.isDying(e.server)
	if n, err := strconv.Atoi(strings.TrimPrefix(path.Base(hba), "user_")); err == nil {
		if ring, ok := rings[ringName(n, base, config)]; ok { // missing until the device is enabled
			e.UIO, _ = m.node(ring)
		}
	}
	for _, a := range places[m.indexOf(device)] {
		e.LUNs = append(e.LUNs, a.place())
		if a.scsi == "" {
			continue
		}
		for _, block := range subdirs(a.scsi + "/block") {
			e.Nodes = append(e.Nodes, filepath.Join(m.dev, block))
		}
	}
	return e, nil
}

// Kill is the command that ends the lunserve that serves the export, whatever its
// control socket does. It is nil unless the process is known by the time of its
// start: its id alone may be another's by now.
func (e Export) Kill() []hint.Command { return host.kill(e) }

func (m machine) kill(e Export) []hint.Command {
	if e.server.started == 0 || !m.runs(e.server) {
		return nil
	}
	return []hint.Command{{Words: []string{"kill", strconv.Itoa(e.PID)}, Purpose: "to end that lunserve even if its disks are in use"}}
}

// ringName returns the kernel's name of the ring of a device.
func ringName(hba int, device, config string) string {
	return fmt.Sprintf("tcm-user/%d/%s/%s", hba, device, config)
}

// attachments returns the LUNs of the device.
func (m machine) attachments(device string) []attachment { return m.places()[m.indexOf(device)] }

// indexOf returns the index that the kernel gives to a device, or "none", which is
// that of no LUN.
func (m machine) indexOf(device string) string {
	index, _ := readAttribute(m.configfs(), "target", device, "statistics/scsi_dev/indx")
	return cmp.Or(index, "none")
}

// places returns all LUNs of all targets, by the index of their device. They are not
// found by the link in the LUN's directory: while that link is being removed, and no
// server completes the commands that this takes, the directory cannot be read.
func (m machine) places() map[string][]attachment {
	root := filepath.Join(m.configfs(), "target")
	all := make(map[string][]attachment)
	for _, dir := range m.glob(root, "*/*/*/lun/lun_*") {
		a := attachment{lun: strings.TrimPrefix(dir, root+"/")}
		if address, err := readAttribute(root, a.tpg(), "address"); err == nil {
			number := strings.TrimPrefix(path.Base(a.lun), "lun_")
			a.scsi = filepath.Join(m.sys, "bus/scsi/devices", address+":"+number)
		}
		index := m.deviceOf(dir)
		all[index] = append(all[index], a)
	}
	return all
}

// deviceOf returns the index of the device behind a LUN, or "".
func (m machine) deviceOf(lun string) string {
	index, _ := readAttribute(lun, "statistics/scsi_port/dev")
	return index
}

// subdirs returns the names of the directories in a directory, if it exists.
func subdirs(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}
