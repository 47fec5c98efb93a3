package scsi

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Tasks and quick commands access random blocks. No other accesses a block of an
// exclusive task meanwhile.
func TestExclusiveTasksHaveTheirBlocksAlone(t *testing.T) {
	const blocks = 16
	var s taskSet
	s.freed.L = &s.mu
	var shared, alone [blocks]atomic.Int32
	access := func(k task) {
		for b := k.first; b < k.end; b++ {
			if n := &shared[b]; k.exclusive {
				if alone[b].Add(1) != 1 || n.Load() != 0 {
					t.Error("an exclusive task is not alone")
				}
			} else {
				n.Add(1)
				if alone[b].Load() != 0 {
					t.Error("a command beside an exclusive task")
				}
			}
		}
		runtime.Gosched()
		for b := k.first; b < k.end; b++ {
			if k.exclusive {
				alone[b].Add(-1)
			} else {
				shared[b].Add(-1)
			}
		}
	}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range 3000 {
				k := task{first: r.Uint64N(blocks), exclusive: r.IntN(4) == 0}
				k.end = k.first + r.Uint64N(blocks-k.first+1)
				wait := k.exclusive || r.IntN(2) == 0
				if !wait && s.enterQuick() {
					access(k)
					s.leaveQuick()
				} else if id, ok := s.enter(k, wait); ok {
					access(k)
					s.leave(id)
				}
			}
		})
	}
	wg.Wait()
	if len(s.tasks) > 0 || s.exclusive.Load() != 0 || s.entered.Load() != s.left.Load() {
		t.Errorf("left behind: %+v", s.tasks)
	}
}

// A task that came later does not pass an exclusive one that waits for the same
// blocks, so none waits for ever.
func TestTasksKeepTheirOrder(t *testing.T) {
	var s taskSet
	s.freed.L = &s.mu
	first, _ := s.enter(task{first: 0, end: 10}, true)
	entered := make(chan uint64)
	go func() {
		id, _ := s.enter(task{first: 5, end: 6, exclusive: true}, true)
		entered <- id
	}()
	for s.exclusive.Load() == 0 {
		time.Sleep(time.Microsecond)
	}
	if _, ok := s.enter(task{first: 5, end: 6}, false); ok {
		t.Error("a later task passed an exclusive one")
	}
	if _, ok := s.enter(task{first: 6, end: 20}, false); !ok {
		t.Error("a task waits for one that accesses other blocks")
	}
	if s.enterQuick() {
		t.Error("a quick command did not look for an exclusive task")
	}
	s.leave(first)
	s.leave(<-entered)
	if !s.enterQuick() {
		t.Error("quick commands do not get in again")
	}
}

func TestWaitingReturnsTheOldestTask(t *testing.T) {
	var s taskSet
	s.freed.L = &s.mu
	now := time.Now()
	at := func(after time.Duration, want string, since time.Duration) {
		t.Helper()
		name, from := s.waiting(now.Add(after))
		if name != want || want != "" && (from.Sub(now)-since).Abs() > time.Second/2 {
			t.Errorf("after %v: %q since %v, want %q since %v", after, name, from.Sub(now), want, since)
		}
	}
	at(0, "", 0)
	s.enter(task{end: 1 << 60}, true) // unnamed
	one, _ := s.enter(task{name: "one"}, true)
	two, _ := s.enter(task{name: "two"}, true)
	s.tasks[1].since, s.tasks[2].since = now, now.Add(3*time.Second)
	at(4*time.Second, "one", 0)
	s.leave(one)
	at(5*time.Second, "two", 3*time.Second)
	s.leave(two)
	at(6*time.Second, "", 0)

	// A quick command that waits all the same is noticed from the second look on.
	s.enterQuick()
	at(7*time.Second, "a command", 7*time.Second)
	at(13*time.Second, "a command", 7*time.Second)
	s.leaveQuick()
	at(14*time.Second, "", 0)
	s.enterQuick()
	at(15*time.Second, "a command", 15*time.Second)
}
