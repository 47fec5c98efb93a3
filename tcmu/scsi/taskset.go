package scsi

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A taskSet holds the commands that run, in the order of their arrival, with the
// blocks that each accesses. A command waits for those before it that access the
// same blocks, if one of the two is exclusive. It waits for no other command: the
// store of any of them may take minutes for a sync, or for a read.
//
// The rule that keeps one command from stalling a disk: no lock is held during a
// call of the store but that of the blocks which the command names. The exception
// is COMPARE AND WRITE, see intent.
//
// Commands that may not wait are only counted. An exclusive command waits until
// none of them runs, which does not take long.
type taskSet struct {
	exclusive     atomic.Int32 // exclusive tasks, whether they run or wait
	entered, left atomic.Int64 // quick commands, all since the start

	mu    sync.Mutex // never held during a call of the store
	freed sync.Cond  // on mu: broadcast when something has left
	tasks []task
	last  uint64 // id of the newest task

	// Of waiting: the value of entered when it last changed, and the time.
	seen   int64
	seenAt time.Time
}

// A task is a command that may wait, or a call of the store for it.
type task struct {
	name       string // empty if it takes long by design
	first, end uint64 // its blocks; none if they are equal
	exclusive  bool
	id         uint64
	since      time.Time
}

// task returns the task of a command that accesses the blocks that its CDB names.
func (r *row) task(q request) task {
	first, n := q.blocks()
	return task{name: r.name, first: first, end: first + min(n, math.MaxUint64-first), exclusive: r.attrs&exclusive != 0}
}

// enterQuick counts a command that may not wait, unless there is an exclusive
// one, which may be in its way.
func (s *taskSet) enterQuick() bool {
	if s.exclusive.Load() != 0 {
		return false
	}
	s.entered.Add(1)
	if s.exclusive.Load() == 0 {
		return true
	}
	s.leaveQuick()
	return false
}

func (s *taskSet) leaveQuick() {
	s.left.Add(1)
	if s.exclusive.Load() != 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.freed.Broadcast()
	}
}

// enter adds a task, and waits for those that are in its way. If it may not wait
// for them, enter reports false instead.
func (s *taskSet) enter(t task, wait bool) (id uint64, ok bool) {
	t.since = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	t.id = s.last
	if t.exclusive {
		s.exclusive.Add(1) // before mustWait counts quick commands
	}
	s.tasks = append(s.tasks, t)
	for s.mustWait(&t) {
		if !wait {
			s.remove(t.id)
			return 0, false
		}
		s.freed.Wait()
	}
	return t.id, true
}

// leave removes a task that has entered.
func (s *taskSet) leave(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
}

func (s *taskSet) remove(id uint64) {
	i := slices.IndexFunc(s.tasks, func(t task) bool { return t.id == id })
	if s.tasks[i].exclusive {
		s.exclusive.Add(-1)
	}
	s.tasks = slices.Delete(s.tasks, i, i+1)
	s.freed.Broadcast()
}

// mustWait reports whether something that came before t is in its way.
func (s *taskSet) mustWait(t *task) bool {
	for i := range s.tasks {
		before := &s.tasks[i]
		if before.id == t.id {
			break
		}
		if (t.exclusive || before.exclusive) && t.first < before.end && before.first < t.end {
			return true
		}
	}
	return t.exclusive && s.anyQuick()
}

// settle waits for the commands that have entered, and not for later ones: when it
// returns, no command writes that did not see what its caller had changed before. Later
// ones do not wait for it.
func (s *taskSet) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exclusive.Add(1) // so that no quick command enters
	defer s.exclusive.Add(-1)
	last := s.last
	for s.anyQuick() || slices.ContainsFunc(s.tasks, func(t task) bool { return t.id <= last && t.first < t.end }) {
		s.freed.Wait()
	}
}

// anyQuick reports whether quick commands run, once none enters.
func (s *taskSet) anyQuick() bool {
	left := s.left.Load() // first: what enters now leaves at once
	return left != s.entered.Load()
}

// waiting returns what has been running for longest, and since when. The name is
// empty if nothing is. It notices a quick command only if it is called regularly.
func (s *taskSet) waiting(now time.Time) (name string, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since = now
	for i := range s.tasks {
		if t := &s.tasks[i]; t.name != "" {
			name, since = t.name, t.since
			break
		}
	}
	left := s.left.Load()
	entered := s.entered.Load()
	if entered == left || entered != s.seen {
		s.seen, s.seenAt = entered, now
	}
	if entered != left && (name == "" || s.seenAt.Before(since)) {
		name, since = "a command", s.seenAt
	}
	return name, since
}

// Waiting returns the name of the command that has been waiting for the store for
// longest, and since when. The name is empty if none waits. Call it regularly, by
// one goroutine: it remembers what the last call saw.
func (d *Disk) Waiting(now time.Time) (name string, since time.Time) { return d.tasks.waiting(now) }

// during makes a call of the store a task: one of a command that is none itself, or
// that names other blocks.
func (d *Disk) during(t task, call func() error) error {
	id, _ := d.tasks.enter(t, true)
	defer d.tasks.leave(id)
	return call()
}
