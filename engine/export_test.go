package engine

import (
	"context"
	"time"
)

// WithPollEvery sets the time between polls of the database.
func (c Config) WithPollEvery(every time.Duration) Config {
	c.pollEvery = every
	return c
}

// WithSessionTime has sessions judged at another time than the database or Now says.
func (c Config) WithSessionTime(change func(time.Time) time.Time) Config {
	c.sessionTime = change
	return c
}

// WithCheckpointEvery sets how often the checkpoint file is written.
func (c Config) WithCheckpointEvery(every time.Duration) Config {
	c.checkpointEvery = every
	return c
}

// Sweep does now what is done every minute.
func (e *Engine) Sweep(ctx context.Context) error { return e.sweep(ctx) }
