package tcmu

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// within reports whether got is as accurate as Percentile promises.
func within(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= max(0.04*float64(want), float64(unit))
}

func TestPercentilesMatchSortedList(t *testing.T) {
	for name, draw := range map[string]func() time.Duration{
		"constant":    func() time.Duration { return 137 * time.Microsecond },
		"uniform":     func() time.Duration { return rand.N(20 * time.Millisecond) },
		"long tailed": func() time.Duration { return time.Duration(20e3 * math.Exp(rand.NormFloat64()*2)) },
		"log uniform": func() time.Duration { return time.Duration(math.Exp2(rand.Float64() * 40)) },
		"bimodal": func() time.Duration {
			if rand.N(10) == 0 {
				return 8*time.Millisecond + rand.N(time.Millisecond)
			}
			return 15*time.Microsecond + rand.N(time.Microsecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 10, 99, 1000, 20_000} {
				var m Meter
				var sum time.Duration
				list := make([]time.Duration, n)
				for i := range list {
					list[i] = draw()
					sum += list[i]
					m.Add(list[i])
				}
				slices.Sort(list)
				l := m.Read()
				if l.Count != uint64(n) || l.Sum != sum {
					t.Errorf("%d commands that took %v, want %d and %v", l.Count, l.Sum, n, sum)
				}
				for _, p := range []float64{0, 0.1, 1, 25, 50, 90, 99, 99.9, 100} {
					want := list[max(int(math.Ceil(p/100*float64(n))), 1)-1]
					if got := l.Percentile(p); !within(got, want) {
						t.Errorf("p%v of %d is %v, want %v", p, n, got, want)
					}
				}
			}
		})
	}
}

// Buckets are in the order of the latencies that they count, with no gaps, and
// their middles are accurate enough.
func TestBucketsCoverNanosecondsToMinutes(t *testing.T) {
	last := 0
	for d := time.Duration(1); d < 1<<40; d += max(1, d/1000) {
		b := bucket(d)
		if b < last || b > last+1 {
			t.Fatalf("%v is in bucket %d, after %d", d, b, last)
		}
		if got := middle(b); !within(got, d) {
			t.Fatalf("%v is counted as %v", d, got)
		}
		last = b
	}
	if last != buckets-1 {
		t.Errorf("the last bucket is %d of %d", last, buckets)
	}
}

func TestOutOfRangeLatenciesAreCounted(t *testing.T) {
	var m Meter
	for _, d := range []time.Duration{math.MinInt64, -1, 0, math.MaxInt64} {
		m.Add(d)
	}
	l := m.Read()
	if l.Count != 4 || l.Percentile(50) > unit || l.Percentile(100) < 15*time.Minute {
		t.Errorf("%d, from %v to %v", l.Count, l.Percentile(50), l.Percentile(100))
	}
}

func TestEmptyMeterIsAllZeros(t *testing.T) {
	var m Meter
	if l := m.Read(); l != (Latencies{}) || l.Percentile(50) != 0 || l.Percentile(100) != 0 || l.Percentile(math.NaN()) != 0 {
		t.Errorf("%d commands in %v, half of them in %v", l.Count, l.Sum, l.Percentile(50))
	}
}

func TestSinceSubtractsEarlierState(t *testing.T) {
	var m Meter
	for range 1000 {
		m.Add(time.Second)
	}
	earlier := m.Read()
	if got := m.Read().Since(earlier); got != (Latencies{}) {
		t.Errorf("%d commands since the same state", got.Count)
	}
	m.Add(2 * time.Millisecond)
	m.Add(4 * time.Millisecond)
	got := m.Read().Since(earlier)
	if got.Count != 2 || got.Sum != 6*time.Millisecond || !within(got.Percentile(50), 2*time.Millisecond) || !within(got.Percentile(51), 4*time.Millisecond) {
		t.Errorf("%d commands in %v, half of them in %v", got.Count, got.Sum, got.Percentile(50))
	}
}

func TestMeterIsSafeForConcurrentUse(t *testing.T) {
	var m Meter
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 10_000 {
				m.Add(time.Duration(i) * time.Microsecond)
				if i%1000 == 0 {
					m.Read().Percentile(99)
				}
			}
		})
	}
	group.Wait()
	if l := m.Read(); l.Count != 80_000 || l.Sum != 8*9999*10_000/2*time.Microsecond {
		t.Errorf("%d commands in %v", l.Count, l.Sum)
	}
}

func BenchmarkMeter(b *testing.B) {
	var m Meter
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for d := time.Duration(0); pb.Next(); d += 99 {
			m.Add(d)
		}
	})
}
