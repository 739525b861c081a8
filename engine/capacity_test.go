package engine

import (
	"testing"

	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

func TestCapacityLeavesConnectionsToWhatGoesFirst(t *testing.T) {
	t.Parallel()
	shared, split := sqlstore.Connections{Readers: 16}, sqlstore.Connections{Readers: 8, Writers: 1}
	for _, test := range []struct {
		of     sqlstore.Connections
		needed int
		want   Capacity
	}{
		{shared, 0, Capacity{6, 6}},
		{shared, 4, Capacity{6, 6}},
		{shared, 8, Capacity{4, 4}},
		{shared, 12, Capacity{2, 2}},
		{shared, 1000, Capacity{2, 2}},
		{sqlstore.Connections{Readers: 3}, 1000, Capacity{1, 1}},
		{sqlstore.Connections{Readers: 1}, 1000, Capacity{1, 1}},
		{split, 0, Capacity{6, 2}},
		{split, 4, Capacity{4, 2}},
		{split, 1000, Capacity{2, 2}},
	} {
		if got := capacity(test.of, test.needed); got != test.want {
			t.Errorf("%+v, of which %d are needed: got %+v, want %+v", test.of, test.needed, got, test.want)
		}
	}
}
