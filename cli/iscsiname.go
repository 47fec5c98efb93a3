package cli

import (
	"fmt"
	"strings"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
)

// An initiatorName is the name of an initiator on the command line.
type initiatorName string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *initiatorName) UnmarshalText(text []byte) error {
	*n = initiatorName(text)
	return configfs.CheckISCSIName(string(text))
}

// A targetName is the name of a target on the command line. Initiators may
// change upper-case letters to lower case.
type targetName string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *targetName) UnmarshalText(text []byte) error {
	*n = targetName(text)
	if err := configfs.CheckISCSIName(string(text)); err != nil {
		return err
	}
	if lower := strings.ToLower(string(text)); lower != string(text) {
		return hint.Try(fmt.Errorf("%s: has upper-case letters, which initiators may change to lower case", text), lower)
	}
	return nil
}
