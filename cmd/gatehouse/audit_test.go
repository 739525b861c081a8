package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAuditLog(t *testing.T) {
	t.Parallel()
	i := install(t)
	if got := i.must("audit", "verify"); got != "" {
		t.Errorf("without an audit log: got %q, want nothing", got)
	}
	i.fails(exitFailure, "there is no audit log yet", "audit", "key")
	for range 4 {
		i.must("client", "create")
	}
	keys := strings.Fields(i.must("audit", "key"))
	notes := i.must("audit", "checkpoint")
	if len(keys) != 4 || strings.Count(notes, "\u2014 gatehouse/audit/") != 4 {
		t.Fatalf("got keys %q and checkpoints\n%s\nwant four of each", keys, notes)
	}
	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	checkpoints := file("checkpoints", notes)
	got := i.must("audit", "verify", "--checkpoint", checkpoints, "--key", keys[0])
	if strings.Count(got, "events from 0 on are as they were; 2 checkpoints hold, the newest at 1\n") != 4 {
		t.Errorf("verify: got\n%s", got)
	}
	export := i.must("audit", "export")
	exported := file("export", export)
	if got := i.must("audit", "verify", "--export", exported, "--key", keys[1], "--checkpoint", checkpoints); strings.Count(got, "\n") != 4 {
		t.Errorf("verify the export: got\n%s", got)
	}
	tenant := strings.SplitN(strings.TrimPrefix(keys[2], "gatehouse/audit/"), "+", 2)[0]
	if got := i.must("audit", "export", "--tenant", tenant, "--since", "24h"); strings.Count(got, "\n") != 4 {
		t.Errorf("export one tenant: got\n%s", got)
	}

	tampered := file("tampered", strings.Replace(export, `"action":"CLIENT_KEY_CREATED"`, `"action":"CLIENT_KEY_REVOKED"`, 1))
	i.fails(exitFailure, "is not what its hash says: it was changed", "audit", "verify", "--key", keys[0], "--export", tampered)
	other := install(t)
	other.must("client", "create")
	i.fails(exitFailure, "the key has not signed it", "audit", "verify", "--checkpoint", file("foreign", other.must("audit", "checkpoint")))
	other.fails(exitFailure, "no longer holds", "audit", "verify", "--key", keys[0], "--checkpoint", checkpoints)

	i.fails(exitUsage, "--key", "audit", "verify", "--key", "none")
	i.fails(exitUsage, "--before", "audit", "prune")
	i.fails(exitUsage, "must be a date", "audit", "prune", "--before", "yesterday")
	if got := i.must("audit", "prune", "--before", "0s", "--tenant", tenant); got != "tenant "+tenant+": pruned up to event 1\n" {
		t.Errorf("prune: got %q", got)
	}
	if got := i.must("audit", "verify", "--checkpoint", checkpoints); !strings.Contains(got, "tenant "+tenant+": 1 events from 1 on are as they were") {
		t.Errorf("verify what was pruned: got\n%s", got)
	}
}
