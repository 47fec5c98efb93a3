package main

import (
	"os"

	"github.com/lunserve/lunserve/serve/console"
)

var con = console.New(os.Stderr, "lunserve")
