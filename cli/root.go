package cli

import (
	"fmt"
	"os"

	"github.com/lunserve/lunserve/hint"
)

// needRoot refuses to go on without root, which is needed to do what purpose says.
// The hint is our own command line again.
func needRoot(purpose string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return hint.Try(fmt.Errorf("must be root to %s", purpose), append([]string{"sudo"}, os.Args...)...)
}
