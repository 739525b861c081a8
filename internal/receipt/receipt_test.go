package receipt_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/internal/receipt"
)

var (
	secret  = receipt.Secret{Credential: "credential", Name: "name"}
	request = []byte("POST /api/role/editor")
	answer  = []byte(`{"result":true}`)
)

func TestOpen(t *testing.T) {
	t.Parallel()
	id := receipt.ID("tenant", "key", secret.Name)
	sealed := secret.Seal(id, request, answer)
	for _, c := range []struct {
		name    string
		secret  receipt.Secret
		id      string
		request string
		want    error
	}{
		{"the same", secret, id, string(request), nil},
		{"another credential", receipt.Secret{Credential: "other", Name: secret.Name}, id, string(request), receipt.ErrOtherCredential},
		{"another name", receipt.Secret{Credential: secret.Credential, Name: "other"}, id, string(request), receipt.ErrOtherCredential},
		{"credential and name run together", receipt.Secret{Credential: "credentialn", Name: "ame"}, id, string(request), receipt.ErrOtherCredential},
		{"another request", secret, id, "POST /api/role/author", receipt.ErrOtherRequest},
		{"another receipt's place", secret, receipt.ID("other", "key", secret.Name), string(request), receipt.ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := c.secret.Open(c.id, sealed, []byte(c.request))
			if !errors.Is(err, c.want) || err == nil && string(got) != string(answer) {
				t.Errorf("got %q, error %v; want error %v", got, err, c.want)
			}
		})
	}
}

func TestSealHidesAndDiffers(t *testing.T) {
	t.Parallel()
	id := receipt.ID("tenant", "key", secret.Name)
	first, second := secret.Seal(id, request, answer), secret.Seal(id, request, answer)
	if first == second {
		t.Error("two receipts of one answer are equal")
	}
	for _, hidden := range []string{"result", "editor", secret.Credential, secret.Name} {
		if strings.Contains(first+id, hidden) {
			t.Errorf("the receipt shows %q", hidden)
		}
	}
}

func TestOpenTakesNoChangedByte(t *testing.T) {
	t.Parallel()
	id := receipt.ID("tenant", "key", secret.Name)
	sealed := secret.Seal(id, request, answer)
	for i := range len(sealed) {
		for _, to := range []byte{'A', 'B', '.'} {
			changed := sealed[:i] + string(to) + sealed[i+1:]
			if changed == sealed {
				continue
			}
			if got, err := secret.Open(id, changed, request); err == nil {
				t.Errorf("byte %d as %q: got %q, want an error", i, to, got)
			}
		}
		if got, err := secret.Open(id, sealed[:i], request); err == nil {
			t.Errorf("cut to %d bytes: got %q, want an error", i, got)
		}
	}
}

func TestIDIsOfAllItsParts(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, parts := range [][3]string{{"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"", "ab", "c"}, {"b", "a", "c"}} {
		seen[receipt.ID(parts[0], parts[1], parts[2])] = true
	}
	if len(seen) != 5 {
		t.Errorf("got %d ids, want 5", len(seen))
	}
}
