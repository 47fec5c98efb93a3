package cli

import (
	"errors"
	"testing"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
)

func TestEqualFindingsAreFolded(t *testing.T) {
	none := errors.New("no modules")
	var before []symptom
	for i, tt := range []struct {
		finding configfs.Finding
		want    string
	}{
		{configfs.Finding{About: "root", Is: "loaded"}, "loaded"},
		{configfs.Finding{About: "uio", Is: "loaded"}, "loaded"},
		{configfs.Finding{About: "tcm_loop", Err: errors.New("tcm_loop is not loaded")}, "not loaded"},
		{configfs.Finding{About: "sd_mod", Err: errors.New("sd_mod is not loaded")}, "as tcm_loop"},
		{configfs.Finding{About: "vhost", Err: none}, "no modules"},
		{configfs.Finding{About: "iscsi", Err: hint.Try(none, "ls")}, "no modules"}, // with something to type
		{configfs.Finding{About: "other", Err: hint.Try(none, "ls"), Minor: true}, "as iscsi"},
	} {
		s := newSymptom(tt.finding)
		if got := s.fold(before).Text; got != tt.want {
			t.Errorf("%d: %s, want %s", i, got, tt.want)
		}
		before = append(before, s)
	}
}

func TestTextIsWrappedAtBlanks(t *testing.T) {
	const text = "is not loaded, and cannot be; try modprobe tcm_loop"
	for columns, want := range map[int]string{
		0:  text,
		80: text,
		30: "is not loaded, and\n    cannot be; try modprobe\n    tcm_loop",
		20: text, // too narrow to wrap
	} {
		if got := wrap(text, columns, 10, 4); got != want {
			t.Errorf("%d columns:\n got %q\nwant %q", columns, got, want)
		}
	}
}
