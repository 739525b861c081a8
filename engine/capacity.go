package engine

// Capacity is how many lists and how many writes the database should be given at once,
// so that some of its connections are always left for decisions, sessions and what the
// engine does by itself.
type Capacity struct{ Reads, Writes int }

// Capacity follows the size of the pools. A pool of three connections or more keeps one
// free, and a large one a quarter.
func (e *Engine) Capacity() Capacity {
	connections := e.store.Connections()
	if connections.Writers == 0 {
		each := max(1, connections.Readers*3/8)
		return Capacity{Reads: each, Writes: each}
	}
	// A second write is ready when the first is done with the only connection.
	return Capacity{Reads: max(1, connections.Readers*3/4), Writes: connections.Writers + 1}
}
