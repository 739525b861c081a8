package engine

import (
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

// ErrBusy is in the error of a question that would be one too many to wait for the
// database, or has waited for its turn for too long; see Config.MaxWaiting.
var ErrBusy = live.ErrBusy

// Capacity is how many lists and how many writes the database should be given at once,
// so that some of its connections are always left for decisions, sessions and what the
// engine does by itself.
type Capacity struct{ Reads, Writes int }

// Capacity follows the size of the pools, and how many of their connections are needed
// by what goes first: by the decisions that read the database now, and by as many
// others as ahead says.
func (e *Engine) Capacity(ahead int) Capacity {
	return capacity(e.connections, e.live.Reading()+ahead)
}

// capacity leaves a quarter of a pool of three connections or more free. What goes first
// may need three quarters; an eighth each is always for lists and for writes.
func capacity(c sqlstore.Connections, needed int) Capacity {
	left := c.Readers - min(needed, c.Readers*3/4)
	if c.Writers == 0 {
		each := max(1, min(c.Readers*3/8, left/2))
		return Capacity{Reads: each, Writes: each}
	}
	// A second write is ready when the first is done with the only connection.
	return Capacity{Reads: max(1, min(c.Readers*3/4, left)), Writes: c.Writers + 1}
}
