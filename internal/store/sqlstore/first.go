package sqlstore

import (
	"encoding/json"
	"slices"
)

// scanRows is how many sealed rows are read at once where all must be.
const scanRows = 1000

// first keeps the first few of many items in an order, each once.
type first[T any] struct {
	max     int64
	compare func(a, b T) int
	items   []T
}

// add takes one more item. It keeps up to twice as many as are wanted before it puts
// them in order.
func (f *first[T]) add(item T) {
	f.items = append(f.items, item)
	if int64(len(f.items)) > 2*f.max+scanRows {
		f.cut()
	}
}

func (f *first[T]) cut() {
	slices.SortFunc(f.items, f.compare)
	f.items = slices.CompactFunc(f.items, func(a, b T) bool { return f.compare(a, b) == 0 })
	f.items = f.items[:min(int64(len(f.items)), f.max)]
}

// list returns the first items.
func (f *first[T]) list() []T {
	f.cut()
	return f.items
}

// namesOf is what jsonList made an argument of.
func namesOf(list string) []string {
	var names []string
	if err := json.Unmarshal([]byte(list), &names); err != nil {
		panic(err) // jsonList's always decode
	}
	return names
}

// scan reads a list of sealed rows in batches, each from behind the last row of the one
// before.
func scan[R any](read func(last R) ([]R, error), use func(R) error) error {
	var last R
	for {
		rows, err := read(last)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := use(row); err != nil {
				return err
			}
		}
		if len(rows) < scanRows {
			return nil
		}
		last = rows[len(rows)-1]
	}
}
