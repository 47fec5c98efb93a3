package serve

import (
	"errors"
	"slices"
	"testing"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/serve/guard"
)

// If the guard does not answer, the disk counts as in use.
func TestGuardThatDoesNotAnswerLeavesUsersUnknown(t *testing.T) {
	process := inuse.User{Kind: inuse.OpenedBy, PID: 7, Command: "dd"}
	for _, tt := range []struct {
		users []inuse.User
		err   error
		want  []inuse.User
	}{
		{[]inuse.User{process}, nil, []inuse.User{process}},
		{nil, guard.ErrBlind, nil},
		{nil, errors.New("it is asleep"), []inuse.User{{Kind: inuse.Unknown, Where: "it is asleep"}}},
	} {
		got := usersSeen(guard.Place{Node: "/dev/missing"}, func(guard.Place) ([]inuse.User, error) { return tt.users, tt.err })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
	unknown := inuse.User{Kind: inuse.Unknown, Where: "it is asleep"}
	if unknown.Transient() {
		t.Error("what is unknown is waited for")
	}
	for want, d := range map[string]control.Disk{
		"/dev/sdb is perhaps in use: it is asleep":             {Device: "/dev/sdb", WWPN: "naa.5001405000000000"},
		"naa.5001405000000000 is perhaps in use: it is asleep": {WWPN: "naa.5001405000000000"},
	} {
		d.Users = []inuse.User{unknown}
		if got := d.Sentences(); !slices.Equal(got, []string{want}) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
