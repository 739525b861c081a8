package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// contender is one row of a table of what is compared.
type contender struct {
	name string
	// base is the name of the row that this one is a ratio of; empty: of none.
	base string
	// measure measures once.
	measure func(context.Context, time.Duration) (sample, error)
}

// compare measures all contenders in turn, round after round, and prints a table.
// The round before the first one warms up and does not count.
func compare(ctx context.Context, o options, what string, contenders []contender) error {
	samples := map[string][]sample{}
	for round := range o.rounds + 1 {
		for _, c := range contenders {
			got, err := c.measure(ctx, o.duration)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 {
				samples[c.name] = append(samples[c.name], got)
			}
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\tper second\tp50\tp99\tratio\tmin..max\tof\n", what)
	for _, c := range contenders {
		mine := samples[c.name]
		fmt.Fprintf(table, "%s\t%.0f\t%s\t%s", c.name,
			median(mine, func(s sample) float64 { return s.perSecond }),
			short(median(mine, func(s sample) time.Duration { return s.p50 })),
			short(median(mine, func(s sample) time.Duration { return s.p99 })))
		if c.base == "" {
			fmt.Fprintln(table, "\t\t\t")
			continue
		}
		// The ratio within a round: what slows a round slows both.
		ratios := make([]float64, len(mine))
		for n, s := range mine {
			ratios[n] = s.perSecond / samples[c.base][n].perSecond
		}
		fmt.Fprintf(table, "\t%.0f %%\t%.0f..%.0f\t%s\n", 100*median(ratios, func(r float64) float64 { return r }),
			100*slices.Min(ratios), 100*slices.Max(ratios), c.base)
	}
	return table.Flush()
}

func median[S any, T cmp.Ordered](samples []S, of func(S) T) T {
	values := make([]T, len(samples))
	for n, s := range samples {
		values[n] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// short shows three digits of a duration or so.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		d = d.Round(time.Microsecond)
	case d < 10*time.Second:
		d = d.Round(100 * time.Microsecond)
	default:
		d = d.Round(100 * time.Millisecond)
	}
	return strings.Replace(d.String(), "µ", "u", 1)
}

func title(text string) { fmt.Printf("\n%s\n\n", text) }
