package sdk_test

import (
	"errors"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

// TestAuditIsProvedToClients has a client verify what the server says by itself.
func TestAuditIsProvedToClients(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	client := newClient(t, startServer(t, nil))
	if _, err := client.AuditCheckpoint(ctx); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("before the first event: got %v, want %v", err, sdk.ErrNotFound)
	}
	var checkpoints []sdk.AuditCheckpoint
	for _, role := range []string{"editor", "author"} {
		if _, err := client.AddRole(ctx, role, authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		list, err := client.AuditEvents(ctx, sdk.AuditFilter{Resource: "role/" + role}, authz.Page{})
		if err != nil || len(list.Items) != 1 {
			t.Fatalf("got %+v, %v; want one event", list.Items, err)
		}
		proof, err := client.AuditInclusion(ctx, sdk.AuditPlace{ID: list.Items[0].ID}, 0)
		for errors.Is(err, sdk.ErrConflict) {
			proof, err = client.AuditInclusion(ctx, sdk.AuditPlace{ID: list.Items[0].ID}, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		newest, err := client.AuditCheckpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		checkpoint, err := sdk.OpenCheckpoint(proof.Checkpoint, newest.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.Verify(checkpoint); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		bySeq, err := client.AuditInclusion(ctx, sdk.AuditPlace{Seq: proof.Seq}, proof.Size)
		if err != nil || string(bySeq.Leaf) != string(proof.Leaf) || bySeq.Verify(checkpoint) != nil {
			t.Errorf("%s by its place: got %+v, %v", role, bySeq, err)
		}
		proof.Leaf = append(proof.Leaf, ' ')
		if proof.Verify(checkpoint) == nil {
			t.Errorf("%s: another leaf is proved", role)
		}
		checkpoints = append(checkpoints, sdk.AuditCheckpoint{Checkpoint: checkpoint})
	}
	earlier, later := checkpoints[0].Checkpoint, checkpoints[1].Checkpoint
	proof, err := client.AuditConsistency(ctx, earlier.Size, later.Size)
	if err != nil || proof.Verify(earlier, later) != nil {
		t.Errorf("got %+v, %v", proof, err)
	}
	for what, err := range map[string]error{
		"a size of nothing": second(client.AuditConsistency(ctx, 0, 0)),
		"beyond the end":    second(client.AuditConsistency(ctx, 1, 1000)),
		"a negative place":  second(client.AuditInclusion(ctx, sdk.AuditPlace{Seq: -1}, 0)),
	} {
		if !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", what, err, sdk.ErrInvalid)
		}
	}
	if _, err := client.AuditInclusion(ctx, sdk.AuditPlace{ID: "none"}, 0); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("an unknown event: got %v, want %v", err, sdk.ErrNotFound)
	}
}

func second[T any](_ T, err error) error { return err }
