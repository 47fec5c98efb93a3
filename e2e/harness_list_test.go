package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// A listed is a disk as lunserve list --json prints it.
type listed struct {
	Name, Image, Device string
	PID                 int
	Dead                bool
	URI                 string
	Users               []user
	Confined            []string
}

// A user is one in the list.
type user struct {
	Kind, Where, Command string
	PID                  int
}

// list returns all disks that lunserve lists. It may warn that a server does not
// answer, which is being killed.
func list(t *testing.T) (disks []listed) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(run(t, "sh", "-c", `exec "$0" list --json 2>/dev/null`, binary)))
	for d.More() {
		var disk listed
		if err := d.Decode(&disk); err != nil {
			t.Fatal(err)
		}
		disks = append(disks, disk)
	}
	return disks
}

// uses expects exactly one disk in the list, with exactly this user.
func uses(t *testing.T, want user) {
	t.Helper()
	if disks := list(t); len(disks) != 1 || !slices.Equal(disks[0].Users, []user{want}) {
		t.Errorf("listed are %+v, want one disk with the user %+v", disks, want)
	}
}

// died returns the only disk in the list, whose lunserve was killed.
func died(t *testing.T) listed {
	t.Helper()
	disks := list(t)
	if len(disks) != 1 || !disks[0].Dead {
		t.Fatalf("listed are %+v, want one dead", disks)
	}
	return disks[0]
}

// detaches removes what a killed lunserve left. It must not wait for commands
// that no server will complete.
func detaches(t *testing.T, disk listed) {
	t.Helper()
	began := time.Now()
	run(t, binary, "detach", "--force", disk.Name)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to remove %s", took, disk.Name)
	}
}
