package authz

import "slices"

// numberSet is a set of numbers below a bound: a list where they are few, and a bit
// for each number where that takes less memory. Its zero value is empty.
type numberSet struct {
	few  []uint32 // sorted
	bits []uint64
}

func newNumberSet(numbers []uint32, bound int) numberSet {
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	if 32*len(numbers) <= bound {
		return numberSet{few: append(make([]uint32, 0, len(numbers)), numbers...)}
	}
	bits := make([]uint64, (bound+63)/64)
	for _, n := range numbers {
		bits[n/64] |= 1 << (n % 64)
	}
	return numberSet{bits: bits}
}

// has reports whether a number below the bound is in the set.
func (s *numberSet) has(n uint32) bool {
	if s.bits != nil {
		return s.bits[n/64]&(1<<(n%64)) != 0
	}
	_, found := slices.BinarySearch(s.few, n)
	return found
}
