package configfs

import (
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	patience = time.Second
	os.Exit(m.Run())
}
