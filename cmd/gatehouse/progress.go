package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows a bar on standard error, where that is a terminal, and returns how to
// move it and how to take it away. A total of -1 is not known.
func (p *program) progress(what string, total int64) (move func(to int64), done func()) {
	if !isTerminal(p.stderr) {
		return func(int64) {}, func() {}
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(p.stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
	// A bar that cannot be drawn is no reason to stop.
	return func(to int64) { _ = bar.Set64(to) }, func() { _ = bar.Finish() }
}
