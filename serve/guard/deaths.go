package guard

import (
	"os"
	"strings"
	"time"
)

// deathsVar is the environment variable that passes the times of deaths on to the
// next guard.
const deathsVar = "LUNSERVE_DEATHS"

// deaths are the times when processes died that were started again.
type deaths []time.Time

// tooMany notes a death, and reports whether it is the third in ten seconds.
func (d *deaths) tooMany() bool {
	now := time.Now()
	*d = append(*d, now)
	n := len(*d)
	return n >= 3 && now.Sub((*d)[n-3]) < 10*time.Second
}

// TooMany notes the death of a server that a guard takes the place of, and reports
// whether it is the third in ten seconds. A server that takes the place of another
// has the times of both.
func TooMany() bool {
	var d deaths
	for _, text := range strings.Fields(os.Getenv(deathsVar)) {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			d = append(d, at)
		}
	}
	many := d.tooMany()
	text := ""
	for _, at := range d[max(0, len(d)-2):] {
		text += at.Format(time.RFC3339Nano) + " "
	}
	os.Setenv(deathsVar, strings.TrimSpace(text))
	return many
}
