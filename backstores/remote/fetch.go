package remote

import (
	"fmt"
	"io"
	"time"
)

// The sizes of requests. What a request has beyond the read that waits for it
// costs no time, since the read gets its bytes as they come, but it shares the
// line with the other reads that wait: they divide it among them.
//
// At 20 ms and 50 MB/s, 4 KiB reads at random and a queue depth of 16 would be
// bound by the line at 190 a second with requests of 256 KiB. With 16 KiB they
// are bound by the round trip, like reads without a cache: 800 a second.
const (
	minProbe   = 64 << 10
	maxProbe   = 1 << 20
	probes     = 3
	minRequest = 256 << 10
	maxRequest = 2 << 20

	// Read-ahead leaves half of the requests to reads that wait, counted when it is
	// claimed: many reads can claim some before the first request is sent.
	maxAhead = MaxRequests / 2

	// maxWindow is how far a run is read ahead: what a line of 1 GB/s holds in
	// 16 ms.
	maxWindow = 16 << 20
)

// MaxRequests are in flight at a time.
const MaxRequests = 16

// blockLen returns the length of a block: the last is shorter.
func (f *File) blockLen(block int64) int {
	return int(min(blockBytes, f.Size()-block*blockBytes))
}

// blockCount returns the number of blocks of the image.
func (f *File) blockCount() int64 { return (f.Size() + blockBytes - 1) / blockBytes }

// demand fetches a block that is absent, the others up to last, and what is
// likely to be read next: what follows or, at the end of the image, what precedes,
// such as a seek table. It reports whether the block has got a slot. The cache is
// locked.
func (f *File) demand(block, last int64, run *run) bool {
	over := int64(minRequest) / int64(f.demands+1)
	if f.little {
		over = minProbe
	}
	if run != nil {
		over = min(max(over, run.n), maxRequest)
	}
	first, end := block, max(last+1, block+max(over/blockBytes, 1))
	if count := f.blockCount(); end > count {
		first = max(min(block, count-over/blockBytes), 0)
	}
	return f.claim(first, end, false) > block
}

// readAhead fetches what a run is going to read: as far ahead as it is long. It
// asks again when half of that is used up. The cache is locked.
func (f *File) readAhead(run *run) {
	if run == nil || f.little || f.outage.long() != nil {
		return
	}
	window := min(run.n, maxWindow, int64(f.cache.most)*blockBytes/4)
	run.ahead = max(run.ahead, run.next)
	if window < minRequest || run.ahead-run.next > window/2 || f.aheads >= maxAhead {
		return
	}
	first, end := run.ahead/blockBytes, (run.next+window)/blockBytes
	run.ahead = max(run.ahead, f.claim(first, end, true)*blockBytes)
}

// claim claims the blocks from first up to end that are absent, as far as there
// are slots, and starts requests for them. It returns the first that it has not
// looked at. The cache is locked.
func (f *File) claim(first, end int64, ahead bool) int64 {
	end = min(end, f.blockCount())
	for first < end {
		if _, ok := f.cache.where[first]; ok {
			first++
			continue
		}
		var claimed []*slot
		for len(claimed) < maxRequest/blockBytes && first < end {
			if _, ok := f.cache.where[first]; ok {
				break
			}
			s := f.cache.claim(first, f.blockLen(first))
			if s == nil {
				end = first
				break
			}
			claimed = append(claimed, s)
			first++
		}
		if len(claimed) > 0 {
			if ahead {
				f.aheads++
			}
			f.wg.Go(func() {
				f.fetch(claimed)
				if ahead {
					f.cache.mu.Lock()
					f.aheads--
					f.cache.mu.Unlock()
				}
			})
		}
		if ahead && f.aheads >= maxAhead {
			break
		}
	}
	return first
}

// fetch fills consecutive slots, from the folder if it has their blocks, else
// from the server.
func (f *File) fetch(slots []*slot) {
	for len(slots) > 0 {
		if n := f.disk.read(slots); n > 0 {
			slots = f.fill(slots, n, nil)
			continue
		}
		k := f.disk.missing(slots)
		n, err := f.ask(slots[:k])
		if err != nil {
			f.fill(slots[n:], len(slots)-n, err)
			return
		}
		slots = slots[k:]
	}
}

// fill records that n slots have been filled, and returns the others.
func (f *File) fill(slots []*slot, n int, err error) []*slot {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	for _, s := range slots[:n] {
		f.cache.filled(s, err)
	}
	return slots[n:]
}

// ask fills consecutive slots from the server. It asks again for what is missing
// until that is of no use: if it gets nothing for as long as patience, whatever
// others get. It returns the number of slots that were filled.
func (f *File) ask(slots []*slot) (done int, err error) {
	came := time.Now() // some of it, last
	for try := 0; done < len(slots); try++ {
		n, err := f.request(slots[done:])
		done += n
		now := time.Now()
		if n > 0 {
			try, came = 0, now
		}
		if err == nil {
			continue
		}
		if !repeat(err) || now.Sub(came) >= f.outage.patience || f.outage.long() != nil {
			return done, err
		}
		if pause(f.ctx, delay(try, err)) != nil {
			return done, f.ctx.Err()
		}
	}
	return done, nil
}

// request sends one request, and fills slots as their bytes come.
func (f *File) request(slots []*slot) (done int, err error) {
	probes, err := f.outage.enter(f.ctx)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	defer func() { f.outage.leave(probes, start, done > 0, err) }()
	select {
	case f.requests <- struct{}{}:
		defer func() { <-f.requests }()
	case <-f.ctx.Done():
		return 0, f.ctx.Err()
	}
	if start = time.Now(); !probes {
		if err := f.outage.long(); err != nil { // since it was queued
			return 0, err
		}
	}
	last := slots[len(slots)-1]
	off := slots[0].block * blockBytes
	a, err := f.client.get(f.ctx, off, last.block*blockBytes+int64(last.n)-off, &f.version)
	if err != nil {
		return 0, err
	}
	done, err = f.take(a, slots)
	if done == 0 && err == nil {
		err = fmt.Errorf("asked for %d bytes, the server sends %d at a time", blockBytes, a.n)
	}
	return done, err
}

// take fills slots with the body of an answer. It returns the number of them: an
// answer may be shorter than the request.
func (f *File) take(a *answer, slots []*slot) (done int, err error) {
	defer a.body.Close()
	left := a.n
	for _, s := range slots {
		if left -= int64(s.n); left < 0 {
			return done, nil
		}
		if _, err := io.ReadFull(a.body, s.buf[:s.n]); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = transportError{errCut}
			}
			return done, err
		}
		f.keep(s)
		done++
	}
	io.CopyN(io.Discard, a.body, 1) // the end, so that the connection can be used again
	return done, nil
}

// keep records that a slot has been filled. Its readers do not wait until the block is
// in the folder.
func (f *File) keep(s *slot) {
	f.cache.mu.Lock()
	s.users++
	f.cache.filled(s, nil)
	f.cache.mu.Unlock()
	f.disk.write(s)
	f.cache.mu.Lock()
	f.cache.drop(s)
	f.cache.mu.Unlock()
}

// begin fills the first blocks with the first answer.
func (f *File) begin(a *answer) {
	f.cache.mu.Lock()
	var slots []*slot
	for block := int64(0); block*blockBytes < a.n; block++ {
		if block*blockBytes+int64(f.blockLen(block)) > a.n {
			break
		}
		slots = append(slots, f.cache.claim(block, f.blockLen(block)))
	}
	f.cache.mu.Unlock()
	f.wg.Go(func() {
		n, _ := f.take(a, slots)
		f.fetch(slots[n:])
	})
}
