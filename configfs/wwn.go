package configfs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
)

// WWN is a world wide name for what use says of the image at path, such as
// "target": an NAA identifier of 16 hex digits after "naa.". It is the same each
// time on this machine, whichever way path leads to the image, and is not the
// same on another.
func WWN(path, use string) (string, error) { return host.wwn(path, use) }

func (m machine) wwn(path, use string) (string, error) {
	sum, err := m.digest(path, "wwn "+use)
	return "naa.5001405" + sum[:9], err
}

func (m machine) digest(path, use string) (string, error) {
	real, err := filepath.Abs(path)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, withoutPath(err))
	}
	id, _ := readAttribute(m.etc, "machine-id") // without one all such machines are the same
	sum := sha256.Sum256([]byte(id + "\x00" + real + "\x00" + use))
	return hex.EncodeToString(sum[:]), err
}
