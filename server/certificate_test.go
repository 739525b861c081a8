package server

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/internal/tlstest"
)

func TestCertificateFollowsItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	tlstest.Write(t, certFile, keyFile)
	var clock clock
	var log bytes.Buffer
	c, err := loadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	served := func() []byte {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Certificate[0]
	}
	current := served()
	first, firstKey := read(t, certFile), read(t, keyFile)
	for _, step := range []struct {
		name    string
		change  func()
		after   time.Duration
		another bool
		logged  string
	}{
		{"nothing has changed", func() {}, time.Hour, false, ""},
		{"another, looked at too early", func() { tlstest.Write(t, certFile, keyFile) }, lookEvery - 1, false, ""},
		{"another", func() {}, 1, true, "another TLS certificate"},
		{"only the chain is the next one's yet", func() { write(t, certFile, first) }, lookEvery, false, "cannot be used"},
		{"still", func() {}, lookEvery, false, ""},
		{"the key too", func() { write(t, keyFile, firstKey) }, lookEvery, true, "another TLS certificate"},
		{"no PEM", func() { write(t, certFile, []byte("x")) }, lookEvery, false, "cannot be used"},
		{"removed", func() { remove(t, certFile) }, lookEvery, false, "cannot be used"},
		{"still removed", func() {}, time.Hour, false, ""},
		{"back again", func() { tlstest.Write(t, certFile, keyFile) }, lookEvery, true, "another TLS certificate"},
	} {
		log.Reset()
		step.change()
		clock.since += step.after
		before := current
		current = served()
		if another := !slices.Equal(before, current); another != step.another {
			t.Errorf("%s: another certificate: %t, want %t", step.name, another, step.another)
		}
		if got := log.String(); (got == "") != (step.logged == "") || !strings.Contains(got, step.logged) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: logged %q, want one line with %q", step.name, got, step.logged)
		}
	}
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, otherKey := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	tlstest.Write(t, filepath.Join(dir, "unused.pem"), otherKey)
	tlstest.Write(t, certFile, keyFile)
	for name, test := range map[string]struct{ certFile, keyFile, want string }{
		"no chain":      {filepath.Join(dir, "none.pem"), keyFile, "none.pem: no such file"},
		"no key":        {certFile, filepath.Join(dir, "none.pem"), "none.pem: no such file"},
		"another's key": {certFile, otherKey, "does not match"},
		"swapped":       {keyFile, certFile, "switched"},
	} {
		if _, err := LoadCertificate(test.certFile, test.keyFile, slog.Default()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
