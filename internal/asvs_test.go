package internal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// asvs are the sections of OWASP ASVS 5.0.0 that docs/asvs.md answers, with the level
// of each of their requirements, in the order of their numbers.
var asvs = map[string][]int{
	"3.3": {1, 2, 2, 2, 3},
	"3.4": {1, 1, 2, 2, 2, 2, 3, 3},
	"3.5": {1, 1, 1, 2, 2, 3, 3, 3},
	"7.1": {2, 2, 2},
	"7.2": {1, 1, 1, 1},
	"7.3": {2, 2},
	"7.4": {1, 1, 2, 2, 2},
	"7.5": {2, 2, 3},
	"7.6": {2, 2},
}

// asvsAnswers are what a row may say of its requirement, and whether that has to be
// shown by tests.
var asvsAnswers = map[string]bool{"met": true, "shared": true, "application": false, "operator": false, "not applicable": false}

const asvsPage = "docs/asvs.md"

// TestASVS holds docs/asvs.md to the standard's list and to the tests that it names.
func TestASVS(t *testing.T) {
	t.Parallel()
	for _, fault := range asvsFaults(readASVS(t), newTestIndex("..")) {
		t.Errorf("%s: %s", asvsPage, fault)
	}
}

// TestASVSFaultsAreNoticed spoils the page in every way that TestASVS is there for.
func TestASVSFaultsAreNoticed(t *testing.T) {
	t.Parallel()
	page := readASVS(t)
	const id = "v5.0.0-7.4.2"
	row := regexp.MustCompile(`(?m)^\| ` + id + ` .*\n`).FindString(page)
	cells := strings.Split(row, "|")
	if len(cells) != 8 {
		t.Fatalf("the row of %s: got %q, want one of 6 cells", id, row)
	}
	with := func(cell int, text string) string {
		changed := slices.Clone(cells)
		changed[cell] = text
		return strings.Join(changed, "|")
	}
	index := newTestIndex("..")
	for name, test := range map[string]struct{ row, want string }{
		"no row":          {"", "no row"},
		"two rows":        {row + row, "more than one row"},
		"unknown":         {row + strings.Replace(row, "7.4.2", "7.4.6", 1), "not a requirement"},
		"another level":   {with(2, " 2 "), "level"},
		"an empty cell":   {with(5, "  "), "empty"},
		"a cell too many": {with(5, " a | b "), "6 cells"},
		"unknown answer":  {with(4, " yes "), "answer"},
		"no test":         {with(6, " – "), "names no test"},
		"no such package": {with(6, " `nowhere.TestX` "), "no tests in"},
		"no such test":    {with(6, " `engine.TestNoSessionOutlivesItsUsers` "), "no such test"},
		"no such subtest": {with(6, " `engine.TestNoSessionOutlivesItsUser/renamed` "), "no such subtest"},
		"no test's name":  {with(6, " `TestNoSessionOutlivesItsUser` "), "not the name of a test"},
		"a helper":        {with(6, " `engine.signIn` "), "not the name of a test"},
		"no such case of a suite": {
			with(6, " `engine.TestSessionContractOnSQLite/the_sessions_of_a_user_who_is_retired_end_for_good` "), "no such subtest",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults := asvsFaults(strings.Replace(page, row, test.row, 1), index)
			if len(faults) != 1 || !strings.Contains(faults[0], test.want) {
				t.Errorf("got %q, want one about %q", faults, test.want)
			}
		})
	}
}

func readASVS(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(asvsPage)))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

var quoted = regexp.MustCompile("`([^`]+)`")

// asvsFaults says what is wrong with the page. Its rows are: requirement, level, what
// it asks, the answer, how so, and the tests that show it.
func asvsFaults(page string, tests *testIndex) []string {
	var faults []string
	fault := func(id, format string, args ...any) {
		faults = append(faults, id+": "+fmt.Sprintf(format, args...))
	}
	levels := map[string]int{}
	for section, list := range asvs {
		for i, level := range list {
			levels[fmt.Sprintf("v5.0.0-%s.%d", section, i+1)] = level
		}
	}
	seen := map[string]bool{}
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "| v") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		id := cells[0]
		level, known := levels[id]
		switch {
		case !known:
			fault(id, "is not a requirement of these sections")
			continue
		case seen[id]:
			fault(id, "has more than one row")
			continue
		}
		seen[id] = true
		if len(cells) != 6 || slices.Contains(cells, "") {
			fault(id, "must have 6 cells, none of them empty; it has %q", cells)
			continue
		}
		if cells[1] != strconv.Itoa(level) {
			fault(id, "has the level %d, not %s", level, cells[1])
		}
		shown, answer := asvsAnswers[cells[3]]
		if !answer {
			fault(id, "the answer %q is none of %v", cells[3], asvsAnswers)
		}
		named := quoted.FindAllStringSubmatch(cells[5], -1)
		if shown && len(named) == 0 {
			fault(id, "is said to be %s, but names no test", cells[3])
		}
		for _, name := range named {
			if err := tests.find(name[1]); err != nil {
				fault(id, "%v", err)
			}
		}
	}
	for id := range levels {
		if !seen[id] {
			fault(id, "has no row")
		}
	}
	slices.Sort(faults)
	return faults
}
