package configfs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
)

// WWN returns a world wide name for the image at path and a use such as
// "target": "naa." and 16 hex digits. The same image has the same name each
// time on this machine, whatever path names it, and another name on another
// machine. If the machine has no ID, that lasts until the next boot. An image
// that is not a file has a name with a scheme, as URLs have, in place of a path.
func WWN(path, use string) (string, error) { return host.wwn(path, use) }

func (m machine) wwn(path, use string) (string, error) {
	sum, err := m.digest(path, "wwn "+use)
	return "naa.5001405" + sum[:9], err
}

// Serial returns a unit serial number, 16 hex digits, as WWN returns a name.
func Serial(path, use string) (string, error) {
	sum, err := host.digest(path, "serial "+use)
	return sum[:16], err
}

var hasScheme = regexp.MustCompile(`^[a-z][a-z0-9]*://`).MatchString

func (m machine) digest(path, use string) (string, error) {
	real, err := path, error(nil)
	if !hasScheme(path) { // else no absolute path is the same
		real, err = filepath.Abs(path)
		if err == nil {
			real, err = filepath.EvalSymlinks(real)
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, withoutPath(err))
	}
	sum := sha256.Sum256([]byte(m.id().text + "\x00" + real + "\x00" + use))
	return hex.EncodeToString(sum[:]), err
}
