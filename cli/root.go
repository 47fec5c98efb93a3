package cli

import (
	"fmt"
	"os"

	"github.com/lunserve/lunserve/hint"
)

// needRoot returns an error unless the process is root. purpose completes "must
// be root to". The hint is our own command line with sudo.
func needRoot(purpose string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return hint.Try(fmt.Errorf("must be root to %s", purpose), append([]string{"sudo"}, os.Args...)...)
}
