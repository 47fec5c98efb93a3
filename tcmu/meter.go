package tcmu

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A Meter counts commands by how long they took. The zero Meter has counted
// none. It is safe for concurrent use, and takes no lock.
type Meter struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64 // ns
}

// Latencies are what a Meter has counted.
type Latencies struct {
	Count uint64        // of commands
	Sum   time.Duration // of what they took
	// counts are of buckets that are as wide as the shortest times are, in
	// units, and then of sixteen buckets for each power of two.
	counts [buckets]uint64
}

const (
	unit = 64 * time.Nanosecond // sixteen of them are about a microsecond

	// buckets ends at 2^40 ns, which is 18 minutes. What took longer is
	// counted as that.
	buckets = 31 * 16
)

// bucket is where a command that took so long is counted.
func bucket(took time.Duration) int {
	units := uint64(max(took, 0) / unit)
	shift := max(bits.Len64(units)-5, 0)
	return min(shift*16+int(units>>shift), buckets-1)
}

// middle is the time that stands for a bucket. No time from a microsecond up
// that falls into it is more than 1/31 from that.
func middle(bucket int) time.Duration {
	shift := max(bucket/16-1, 0)
	return time.Duration(bucket-shift*16)*(unit<<shift) + (unit<<shift)/2
}

// Add counts a command.
func (m *Meter) Add(took time.Duration) {
	m.counts[bucket(took)].Add(1)
	m.sum.Add(int64(took))
}

// Read returns what was counted so far. A command that is being counted
// meanwhile may be in one of the numbers and not yet in another.
func (m *Meter) Read() (l Latencies) {
	for i := range m.counts {
		l.counts[i] = m.counts[i].Load()
		l.Count += l.counts[i]
	}
	l.Sum = time.Duration(m.sum.Load())
	return l
}

// Since is what was counted after earlier was read from the same Meter.
func (l Latencies) Since(earlier Latencies) Latencies {
	l.Count -= earlier.Count
	l.Sum -= earlier.Sum
	for i, n := range earlier.counts {
		l.counts[i] -= n
	}
	return l
}

// Plus is what two Meters have counted together.
func (l Latencies) Plus(m Latencies) Latencies {
	l.Count += m.Count
	l.Sum += m.Sum
	for i, n := range m.counts {
		l.counts[i] += n
	}
	return l
}

// Percentile is the time in which p percent of the commands were done, to 4 %
// from a microsecond up. Of no commands it is 0.
func (l Latencies) Percentile(p float64) time.Duration {
	rank := uint64(math.Ceil(min(max(p/100, 0), 1) * float64(l.Count)))
	for i, n := range l.counts {
		if n > 0 && n >= rank {
			return middle(i)
		}
		rank -= n
	}
	return 0
}
