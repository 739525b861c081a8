package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// report prints tables of medians.
type report struct {
	rounds int
	table  *tabwriter.Writer
}

func newReport(rounds int) *report {
	return &report{rounds: rounds, table: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
}

// title ends the table before it.
func (r *report) title(format string, values ...any) {
	r.flush()
	fmt.Printf("\n"+format+"\n\n", values...)
}

func (r *report) header(cells ...string) { r.row(cells...) }

func (r *report) row(cells ...string) { fmt.Fprintln(r.table, strings.Join(cells, "\t")) }

func (r *report) flush() { _ = r.table.Flush() } // to standard output

// measured is the median of several runs of a benchmark.
type measured struct {
	nanoseconds float64
	allocations int64
}

func (m measured) time() string {
	return time.Duration(m.nanoseconds).Round(time.Duration(max(1, m.nanoseconds/1000))).String()
}

func (m measured) allocs() string { return fmt.Sprint(m.allocations) }

func ratio(theirs, ours measured) string {
	return fmt.Sprintf("%.0f x", theirs.nanoseconds/ours.nanoseconds)
}

func (r *report) measure(benchmark func(*testing.B)) measured {
	var runs []testing.BenchmarkResult
	for range r.rounds {
		runs = append(runs, testing.Benchmark(benchmark))
	}
	perOperation := func(run testing.BenchmarkResult) float64 {
		return float64(run.T.Nanoseconds()) / float64(max(1, run.N))
	}
	slices.SortFunc(runs, func(a, b testing.BenchmarkResult) int {
		return int(perOperation(a)*1000 - perOperation(b)*1000)
	})
	middle := runs[len(runs)/2]
	return measured{nanoseconds: perOperation(middle), allocations: middle.AllocsPerOp()}
}
