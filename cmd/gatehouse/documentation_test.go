package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write .env.example and the table of docs/configuration.md")

const (
	examplePath       = "../../.env.example"
	configurationPath = "../../docs/configuration.md"
	tableMarker       = "<!-- What follows is made of cmd/gatehouse/settings.go by: go test ./cmd/gatehouse -update -->\n"
)

func TestDocumentationIsThatOfTheSettings(t *testing.T) {
	t.Parallel()
	held(t, examplePath, example())
	content, err := os.ReadFile(configurationPath)
	if err != nil {
		t.Fatal(err)
	}
	prose, _, found := strings.Cut(string(content), tableMarker)
	if !found {
		t.Fatalf("%s has no line %q", configurationPath, tableMarker)
	}
	held(t, configurationPath, prose+tableMarker+tables())
}

func TestExampleCanBeTakenAsItIs(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	standard := load(t, "")
	if got := load(t, string(content)); !same(got, standard) {
		t.Errorf("as it is: %+v, want the defaults %+v", got, standard)
	}
	got := load(t, strings.ReplaceAll(string(content), "#AUTH_", "AUTH_"))
	got.present = standard.present
	if !same(got, standard) {
		t.Errorf("with every line in force: %+v, want the defaults %+v", got, standard)
	}
}

// held compares a file with what it must hold.
func held(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(content); got != want {
		t.Errorf("%s is not that of the settings (go test ./cmd/gatehouse -update):\n%s\nwant:\n%s", path, got, want)
	}
}

func example() string {
	var b strings.Builder
	b.WriteString(`# Settings of Gatehouse, each with its default. Copied to .env in the working directory of gatehouse, the lines that
# lose their first # take effect. What the environment sets wins; a variable that is set to nothing is not set.
# Values with spaces, # or $ belong in single quotes. More is in docs/configuration.md.
#
# compose.yaml reads its one setting from the same file: the password of its database, of letters and digits alone.
#POSTGRES_PASSWORD=
`)
	for _, v := range variables {
		if v.group != "" {
			fmt.Fprintf(&b, "\n# %s\n", v.group)
		}
		fmt.Fprintf(&b, "\n# %s\n# %s\n", v.help, v.values())
		if v.later != "" {
			fmt.Fprintf(&b, "# Not in use yet: %s.\n", v.later)
		}
		fmt.Fprintf(&b, "#%s=%s\n", v.name, v.standard)
	}
	return b.String()
}

func tables() string {
	var b strings.Builder
	for _, v := range variables {
		if v.group != "" {
			fmt.Fprintf(&b, "\n## %s\n\n| variable | default | values | meaning | in use |\n|---|---|---|---|---|\n", v.group)
		}
		standard := cmp.Or(v.standing, "none")
		if v.standard != "" {
			standard = "`" + v.standard + "`"
		}
		use := "yes"
		if v.later != "" {
			use = "not yet: " + v.later
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", v.name, standard, v.values(), v.help, use)
	}
	return b.String()
}
