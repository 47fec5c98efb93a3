package backstores

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Inspect tells facts of the image at path. It does no work that takes long:
// the store is nil if opening one would.
func Inspect(path string, o Options) (Facts, Backstore, error) {
	f, s, err := inspect(path, o)
	f.Serve = "lunserve " + quote(path)
	if !f.Random {
		f.Pack = packLine(path)
	}
	return f, s, err
}

// packLine is the command that makes a file with random access of one without.
func packLine(path string) string {
	if out := rawName(path) + ".zst"; out != path {
		return "lunserve pack " + quote(path) + " " + quote(out)
	}
	return "lunserve pack -f " + quote(path) + " " + quote(path)
}

func inspect(path string, o Options) (Facts, Backstore, error) {
	o.ReadOnly, o.Create = true, 0
	o = o.withDefaults()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Facts{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := servable(path, st.Mode); err != nil {
		return Facts{}, nil, err
	}
	format, err := detect(path, st.Mode, o.Format)
	if err != nil {
		return Facts{}, nil, err
	}
	if format != Zstd {
		s, err := Open(path, o)
		if err != nil {
			return Facts{}, nil, err
		}
		if d, ok := s.(Describer); ok {
			return d.Facts(), s, nil
		}
		if o.Format == Auto || o.Format == "" {
			format = Describe(s)
		}
		f := Facts{Format: format, Size: s.Size(), Stored: st.Blocks * 512, Random: true}
		if isBlock(st.Mode) {
			f.Stored = f.Size
		}
		return f, s, nil
	}
	f, err := scanZstd(path, o)
	if err != nil {
		return Facts{}, nil, err
	}
	if f.large != nil || !f.scan.Sized {
		return f.facts, nil, f.Close()
	}
	r, err := f.reader(o)
	if err != nil {
		f.Close()
		return Facts{}, nil, err
	}
	return f.facts, &zstdImage{file: f, reader: r}, nil
}
