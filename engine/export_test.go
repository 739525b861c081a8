package engine

import "time"

// WithPollEvery sets the time between polls of the database.
func (c Config) WithPollEvery(every time.Duration) Config {
	c.pollEvery = every
	return c
}
