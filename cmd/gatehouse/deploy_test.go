package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// What deploy/ and the documentation say to set can be set.
func TestDeploymentsSetWhatThereIs(t *testing.T) {
	t.Parallel()
	var known []string
	for _, v := range variables {
		known = append(known, v.name)
	}
	name := regexp.MustCompile(`\bAUTH_[A-Z_]*[A-Z]\b`)
	files := 0
	read := func(path string) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files++
		for _, got := range name.FindAllString(string(content), -1) {
			if !slices.Contains(known, got) {
				t.Errorf("%s has %s, which is no setting", path, got)
			}
		}
	}
	for _, path := range []string{"../../compose.yaml", "../../Dockerfile", "../../docs/operations.md"} {
		read(path)
	}
	err := filepath.WalkDir("../../deploy", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			read(path)
		}
		return err
	})
	if err != nil || files < 10 {
		t.Errorf("read %d files: %v", files, err)
	}
}
