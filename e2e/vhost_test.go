package e2e

import (
	"os/exec"
	"regexp"
	"testing"
)

// A script needs the WWPN only; a person gets QEMU's whole option on stderr.
func TestWWPNIsPrinted(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	s := launch(t, exec.Command(binary, "--vhost", newImage(t, dir, 1<<20), newImage(t, dir, 1<<20)))
	wwpn := s.line()
	if !regexp.MustCompile(`^naa\.5001405[0-9a-f]{9}$`).MatchString(wwpn) {
		t.Errorf("the WWPN is %q", wwpn)
	}
	s.stderr.await(t, `(?m)^lunserve: for QEMU: -device vhost-scsi-pci,wwpn=`+regexp.QuoteMeta(wwpn)+`$`)
	if found := glob(t, configfs+"/vhost/"+wwpn+"/tpgt_1/lun/lun_*"); len(found) != 2 {
		t.Errorf("LUNs: %v", found)
	}
	s.ends()
}
