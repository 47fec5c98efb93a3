package man

import _ "embed"

// Page is the manual page, in mdoc.
//
//go:embed lunserve.8
var Page string
