// Command bench measures Gatehouse against what lies below it, in one run on one
// machine: GET /api/has_permission, with and without a decision log, and checks of a resource four levels deep,
// against a bare net/http handler that writes the same bytes; acknowledged writes, and
// rotations of session tokens, against the databases' own durable transactions of one
// row; requests behind the middleware against those of a bare handler; and writes with
// the audit log against those without, with its sequencing and verification; and checks
// and writes on a sealed database against those on a plain one.
//
// What is compared takes turns, round after round, and medians are shown, so that
// what else the machine does falls on all alike. Servers, databases and callers
// share the machine: look at the ratios first.
//
// PostgreSQL is found as internal/pgtest describes; one that is started for the run
// keeps fsync on. The SQLite files and that server lie in the folder for temporary
// files; where that is in memory, writes look cheaper than they are.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// options are the command's flags.
type options struct {
	duration    time.Duration
	rounds      int
	connections int
	profile     string
}

func main() {
	var o options
	var only string
	var load bool
	flag.DurationVar(&o.duration, "duration", time.Second, "how long each measurement of a round takes")
	flag.IntVar(&o.rounds, "rounds", 5, "how many rounds there are")
	flag.IntVar(&o.connections, "connections", 8, "how many connections ask at once, in the sections check and deep")
	flag.StringVar(&only, "only", "", "the sections to run, comma-separated: check, deep, write, sessions, audit, encryption, load (default all but load)")
	flag.BoolVar(&load, "load", false, "run the section load, too: 100,000 memberships on both databases")
	flag.StringVar(&o.profile, "cpuprofile", "", "a file for the CPU profile of the checks on SQLite")
	flag.Parse()

	sections, err := chosen(only, load)
	if err == nil && (flag.NArg() > 0 || o.duration <= 0 || o.rounds < 1 || o.connections < 1) {
		err = errors.New("a flag is out of its range, or there is an argument too many")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, sections); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// section is one part of the report.
type section struct {
	name string
	run  func(context.Context, options, *databases) error
}

var allSections = []section{{"check", checks}, {"deep", deepChecks}, {"write", writes}, {"sessions", sessions}, {"audit", auditing}, {"encryption", encryption}, {"load", bigLoad}}

func chosen(only string, load bool) ([]section, error) {
	names := []string{"check", "deep", "write", "sessions", "audit", "encryption"}
	if only != "" {
		names = strings.Split(only, ",")
	}
	if load {
		names = append(names, "load")
	}
	for _, name := range names {
		if !slices.ContainsFunc(allSections, func(s section) bool { return s.name == name }) {
			return nil, fmt.Errorf("no section %q", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(allSections), func(s section) bool { return !slices.Contains(names, s.name) }), nil
}

func run(ctx context.Context, o options, sections []section) error {
	d, err := openDatabases(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	fmt.Printf("%s, %d CPUs, %s/%s; medians of %d rounds of %s\n",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, o.rounds, o.duration)
	for _, description := range d.descriptions {
		fmt.Println(description)
	}
	for _, s := range sections {
		if err := s.run(ctx, o, d); err != nil {
			return fmt.Errorf("section %s: %w", s.name, err)
		}
	}
	return nil
}
