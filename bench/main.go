// Command bench measures Gatehouse's decision core, and its engine in process,
// against other Go authorization engines, in one run on one machine. It is a module
// of its own, so that none of them is a dependency of Gatehouse; README.md says what
// is asked of whom.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

func main() {
	duration := flag.Duration("duration", 200*time.Millisecond, "how long each measurement takes")
	rounds := flag.Int("rounds", 3, "how many measurements the median is of")
	flag.Parse()
	err := run(*duration, *rounds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(duration time.Duration, rounds int) error {
	if flag.NArg() > 0 || duration <= 0 || rounds < 1 {
		return errors.New("a flag is out of its range, or there is an argument too many")
	}
	testing.Init()
	if err := flag.Set("test.benchtime", duration.String()); err != nil {
		return err
	}
	fmt.Printf("%s, %d CPUs, %s/%s; medians of %d runs of %s\n",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, rounds, duration)
	r := newReport(rounds)
	defer r.flush()
	for _, section := range []func(*report) error{worlds, againstCasbin, againstCedar, againstOpenFGA} {
		if err := section(r); err != nil {
			return err
		}
	}
	return nil
}
