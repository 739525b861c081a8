package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how far long work is, on standard error where that is a terminal. A
// total of -1 is one that is not known. What it returns is to be finished.
func (p *program) progress(total int, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(p.stderr),
		progressbar.OptionSetVisibility(isTerminal(p.stderr)),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}

// steps is progress for work that tells where it has got to. It returns how to move the
// bar and how to take it away.
func (p *program) steps(total int64, what string) (move func(to int64), done func()) {
	bar := p.progress(int(total), what)
	// A bar that cannot be drawn is no reason to stop.
	return func(to int64) { _ = bar.Set64(to) }, func() { _ = bar.Finish() }
}
