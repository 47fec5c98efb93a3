package control

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lunserve/lunserve/hint"
)

// A stopped process takes requests, and never answers.
func TestStoppedProcessIsReportedAfterAnswerTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go theirs.Read(make([]byte, 4096))
		c := newClient(812, ours)
		defer c.Close()
		began := time.Now()
		_, err := c.Disks()
		if !errors.Is(err, ErrNotAnswering) || hint.Text(err) != "lunserve with process id 812 does not answer; try kill -CONT 812" {
			t.Errorf("Disks = %v", err)
		}
		if took := time.Since(began); took != answerTime {
			t.Errorf("it took %v", took)
		}
	})
}
