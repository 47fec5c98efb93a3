package serve

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lunserve/lunserve/serve/console"
)

func TestErrorsOfAnImageAreLimitedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		printed := make(chan error, 64)
		l := errorLimit{image: "a.img", to: printed}
		some := func(n, want int) {
			t.Helper()
			for range n {
				l.report(errors.New("no space"))
			}
			if len(printed) != want {
				t.Errorf("%d errors are printed, want %d", len(printed), want)
			}
			for len(printed) > 0 {
				<-printed
			}
		}
		rest := func(want string) {
			t.Helper()
			if err := l.rest(time.Now()); fmt.Sprint(err) != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
		rest("<nil>")
		some(2, 2)
		some(1000, 1)
		rest("<nil>") // the period is not over
		time.Sleep(errorPeriod)
		some(3, 0) // nobody has asked for the rest yet
		rest("a.img: errors not printed: 1002 in the last 10s")
		rest("<nil>")
		some(1, 1)
		time.Sleep(2 * errorPeriod)
		some(4, 3)
		time.Sleep(errorPeriod)
		rest("a.img: errors not printed: 1 in the last 10s")

		some(5, 3)
		if err := l.end(time.Now()); fmt.Sprint(err) != "a.img: errors not printed: 2 in the last 0s" {
			t.Error(err)
		}

		// The reader does not keep up.
		full := errorLimit{image: "a.img", to: make(chan error)}
		full.report(errors.New("no space"))
		time.Sleep(errorPeriod)
		if err := full.rest(time.Now()); err == nil {
			t.Error("an error is lost")
		}
	})
}

// Refused logins are printed again after a time in which there were too many.
func TestRefusedLoginsAreCountedAndPrintedAgain(t *testing.T) {
	var printed bytes.Buffer
	s := &service{console: console.New(&printed, "lunserve"), imageErrs: make(chan error, 64)}
	f := &userspace{refused: errorLimit{image: "iSCSI", to: s.imageErrs}}
	s.fabrics = []fabric{f}
	for range maxErrors + 2 {
		f.refused.report(errors.New("refused"))
	}
	s.look(time.Now().Add(errorPeriod))
	if !strings.Contains(printed.String(), "iSCSI: errors not printed: 2") {
		t.Errorf("%q", &printed)
	}
	f.refused.report(errors.New("refused"))
	if len(s.imageErrs) != maxErrors+1 {
		t.Errorf("%d errors are printed", len(s.imageErrs))
	}
	f.refused = errorLimit{image: "iSCSI", to: make(chan error)} // full
	f.refused.report(errors.New("refused"))
	s.warnOfRest()
	if !strings.Contains(printed.String(), "iSCSI: errors not printed: 1") {
		t.Errorf("%q", &printed)
	}
}
