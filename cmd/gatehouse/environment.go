package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

// dotenv is the file that stands in for what the environment does not set.
const dotenv = ".env"

// environment holds what is set of the program's own variables. One that is set
// to nothing is not set.
type environment struct {
	values map[string]string
	// filed are the names whose values come from the file.
	filed map[string]bool
	// home is the user's home directory; empty where it is not known.
	home string
}

// readEnvironment reads environ, which is of the form of os.Environ, and the file
// .env in dir. What both set is taken from environ.
func readEnvironment(environ []string, dir string) (environment, error) {
	e := environment{filed: map[string]bool{}}
	file, err := readDotenv(filepath.Join(dir, dotenv))
	if err != nil {
		return e, err
	}
	given := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			given[name] = value
		}
	}
	e.home = given["HOME"]
	e.values = own(file)
	for name := range e.values {
		e.filed[name] = true
	}
	for name, value := range own(given) {
		e.values[name] = value
		delete(e.filed, name)
	}
	return e, nil
}

// own returns the entries that are the program's and not empty.
func own(entries map[string]string) map[string]string {
	mine := map[string]string{}
	for name, value := range entries {
		if strings.HasPrefix(name, prefix) && value != "" {
			mine[name] = value
		}
	}
	return mine
}

// readDotenv reads a file of NAME=value lines; one that is not there is empty.
func readDotenv(path string) (map[string]string, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, usagef("reading %s: %w", dotenv, err)
	}
	entries, err := godotenv.UnmarshalBytes(content)
	if err != nil {
		// The error repeats the rest of the file, with all that is secret in it.
		return nil, usagef("reading %s: line %d is not of the form NAME=value", dotenv, badLine(string(content)))
	}
	return entries, nil
}

// badLine returns the number of the line behind the longest part of content that
// can be read.
func badLine(content string) int {
	lines := strings.SplitAfter(content, "\n")
	for n := len(lines) - 1; n > 0; n-- {
		if _, err := godotenv.Unmarshal(strings.Join(lines[:n], "")); err == nil {
			return n + 1
		}
	}
	return 1
}

// where says that a variable comes from the file, for errors about it.
func (e environment) where(name string) string {
	if e.filed[name] {
		return " in " + dotenv
	}
	return ""
}

// refuseUnknown fails for a variable that is not among the known ones: a name that
// was misspelt would otherwise change nothing, silently.
func (e environment) refuseUnknown(known []string) error {
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		if slices.Contains(known, name) {
			continue
		}
		hint := ""
		if nearest := nearest(name, known); nearest != "" {
			hint = fmt.Sprintf("; did you mean %s?", nearest)
		}
		return usagef("%s%s: no such setting%s", name, e.where(name), hint)
	}
	return nil
}

// nearest returns the known name that takes the fewest edits to make of name;
// empty where that is most of it.
func nearest(name string, known []string) string {
	best, fewest := "", (len(name)-len(prefix))/2+1
	for _, candidate := range known {
		if n := edits(name, candidate); n < fewest {
			best, fewest = candidate, n
		}
	}
	return best
}

// edits is the Levenshtein distance of a and b, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
