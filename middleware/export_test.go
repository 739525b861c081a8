package middleware

import "time"

// SetClock makes a Gate that is not yet in use read the time from now.
func (g *Gate) SetClock(now func() time.Time) { g.now = now }
