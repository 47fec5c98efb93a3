// Lunserve turns disk images into SCSI disks for as long as it runs.
package main

import (
	"os"

	"github.com/lunserve/lunserve/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
