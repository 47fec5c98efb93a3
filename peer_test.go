package main

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// One that is stopped takes what it is asked, and never answers.
func TestSilentPeerIsNotWaitedForForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go theirs.Read(make([]byte, 4096))
		p := newPeer(812, ours)
		defer p.close()
		began := time.Now()
		_, err := p.ask(request{Do: "show"})
		if err != silent(812) || err.Error() != "lunserve with process id 812 does not answer; try kill -CONT 812" {
			t.Errorf("ask = %v", err)
		}
		if took := time.Since(began); took != answerTime {
			t.Errorf("it took %v", took)
		}
	})
}
