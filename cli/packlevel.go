package cli

import "github.com/lunserve/lunserve/hint"

// A packLevel is a compression level. It may be given as to zstd, -1 to -19: -19 is
// parsed as the flags -1 and -9.
type packLevel struct {
	Level int `default:"3" placeholder:"N" help:"Compression level, 1 to 19 as for zstd; also written -1 to -19. There are four distinct levels: 1-2, 3-5, 6-9 and 10-19."`

	D0 counter `name:"0" short:"0" type:"counter" hidden:""`
	D1 counter `name:"1" short:"1" type:"counter" hidden:""`
	D2 counter `name:"2" short:"2" type:"counter" hidden:""`
	D3 counter `name:"3" short:"3" type:"counter" hidden:""`
	D4 counter `name:"4" short:"4" type:"counter" hidden:""`
	D5 counter `name:"5" short:"5" type:"counter" hidden:""`
	D6 counter `name:"6" short:"6" type:"counter" hidden:""`
	D7 counter `name:"7" short:"7" type:"counter" hidden:""`
	D8 counter `name:"8" short:"8" type:"counter" hidden:""`
	D9 counter `name:"9" short:"9" type:"counter" hidden:""`
}

type counter int

func (l *packLevel) level() (int, error) {
	n, digits, level := 0, [...]counter{l.D0, l.D1, l.D2, l.D3, l.D4, l.D5, l.D6, l.D7, l.D8, l.D9}, l.Level
	for d, times := range digits {
		n += int(times)
		if times > 0 {
			level = d
		}
	}
	switch {
	case n == 2 && l.D1 == 2:
		level = 11
	case n == 2 && l.D1 == 1:
		level = 10 + max(level, 0)
		if l.D0 == 1 {
			level = 10
		}
	case n > 1:
		level = -1
	}
	if level < 1 || level > 19 {
		return 0, hint.Try(misuse("level must be from 1 to 19"), "-3")
	}
	return level, nil
}
