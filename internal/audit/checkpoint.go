package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint says what a tenant's tree is at a size.
type Checkpoint struct {
	Tenant string
	Size   int64
	Root   Hash
}

// SignedCheckpoint is a checkpoint as it was signed.
type SignedCheckpoint struct {
	Checkpoint
	// Note is the signed note.
	Note string
	// Key is the verifier key of the note; see ParseKey. Whoever wants to be sure has it
	// from elsewhere.
	Key string
}

// originPrefix begins the origin of every log.
const originPrefix = "gatehouse/audit/"

// Origin is the first line of a tenant's checkpoints, and the name of the key that
// signs them: what C2SP tlog-checkpoint asks of it, nothing else can be in it.
func Origin(tenant string) string {
	return originPrefix + strings.ReplaceAll(url.PathEscape(tenant), "+", "%2B")
}

// tenantOf is the inverse of Origin.
func tenantOf(origin string) (string, error) {
	escaped, ok := strings.CutPrefix(origin, originPrefix)
	tenant, err := url.PathUnescape(escaped)
	if !ok || err != nil || Origin(tenant) != origin {
		return "", errors.New("the first line is not the origin of an audit log")
	}
	return tenant, nil
}

// text is what is signed.
func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", Origin(c.Tenant), c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

func parseText(text string) (Checkpoint, error) {
	// More lines are extensions, which mean nothing here.
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 {
		return Checkpoint{}, errors.New("it has less than three lines")
	}
	tenant, err := tenantOf(lines[0])
	if err != nil {
		return Checkpoint{}, err
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, errors.New("the second line is not a tree's size")
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, errors.New("the third line is not a hash")
	}
	return Checkpoint{Tenant: tenant, Size: size, Root: root}, nil
}

// Key verifies checkpoints. One key signs the logs of all tenants of a database, each
// under its origin as the key's name.
type Key struct{ public ed25519.PublicKey }

// algEd25519 is the algorithm's first byte of a key in the form of sumdb/note.
const algEd25519 = 1

// ParseKey reads a verifier key as VerifierKey writes it, of any tenant.
func ParseKey(text string) (Key, error) {
	fail := errors.New("a verifier key is of the form NAME+HASH+KEY, with an Ed25519 key")
	if _, err := note.NewVerifier(text); err != nil {
		return Key{}, fail
	}
	parts := strings.SplitN(text, "+", 3)
	data, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(data) != 1+ed25519.PublicKeySize || data[0] != algEd25519 {
		return Key{}, fail
	}
	return Key{data[1:]}, nil
}

// VerifierKey writes the key as sumdb/note and other verifiers of C2SP signed-note
// take it, for a tenant's log.
func (k Key) VerifierKey(tenant string) string {
	text, err := note.NewEd25519VerifierKey(Origin(tenant), k.public)
	if err != nil {
		panic(err) // a Key has a public key of the right size
	}
	return text
}

// Open returns the checkpoint of a note that the key has signed. Other signatures,
// as of witnesses, are ignored.
func (k Key) Open(signed string) (Checkpoint, error) {
	c, err := k.open(signed)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

func (k Key) open(signed string) (Checkpoint, error) {
	c, err := parseText(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	verifier, err := note.NewVerifier(k.VerifierKey(c.Tenant))
	if err != nil {
		return Checkpoint{}, err
	}
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, errors.New("the key has not signed it")
	}
	return parseText(opened.Text)
}

// Signer signs checkpoints.
type Signer struct {
	Key
	private ed25519.PrivateKey
}

// NewSigner returns the signer of an Ed25519 key.
func NewSigner(private ed25519.PrivateKey) Signer {
	return Signer{Key{private.Public().(ed25519.PublicKey)}, private}
}

// Sign returns a checkpoint as a signed note.
func (s Signer) Sign(c Checkpoint) (string, error) {
	verifier, err := note.NewVerifier(s.VerifierKey(c.Tenant))
	if err != nil {
		return "", fmt.Errorf("sign a checkpoint: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: c.text()}, noteSigner{verifier, s.private})
	if err != nil {
		return "", fmt.Errorf("sign a checkpoint: %w", err)
	}
	return string(signed), nil
}

// noteSigner is a Signer under the name of one log.
type noteSigner struct {
	note.Verifier
	private ed25519.PrivateKey
}

func (s noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.private, msg), nil }

// SplitNotes finds the signed notes in text, in the order in which they stand there:
// one behind the other, or each in the "checkpoint" of a JSON object on one line. It
// counts the lines of JSON that hold none, such as one that a crash has torn.
func SplitNotes(text string) (notes []string, torn int) {
	var lines strings.Builder
	signed := false
	end := func() {
		if lines.Len() > 0 {
			notes = append(notes, lines.String())
		}
		lines.Reset()
		signed = false
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		signature := strings.HasPrefix(line, "\u2014 ")
		if signed && !signature || strings.HasPrefix(line, "{") {
			end()
		}
		switch {
		case strings.HasPrefix(line, "{"):
			var object struct {
				Checkpoint string `json:"checkpoint"`
			}
			if json.Unmarshal([]byte(line), &object) != nil || object.Checkpoint == "" {
				torn++
				continue
			}
			notes = append(notes, object.Checkpoint)
		case line != "" || lines.Len() > 0:
			lines.WriteString(line + "\n")
			signed = signature
		}
	}
	end()
	return notes, torn
}

// ErrForked is the error of a log whose newest checkpoint does not hold any more.
var ErrForked = errors.New("the log no longer fits its newest checkpoint; see gatehouse audit verify")

// CheckExtension makes sure that the tree of a tenant has come to its size from where
// a signed checkpoint of it was: what is signed once must hold for ever.
func (s Signer) CheckExtension(signed, tenant string, size int64, tiles TileReader) error {
	c, err := s.Open(signed)
	if err != nil || c.Tenant != tenant || c.Size > size {
		return ErrForked
	}
	before, err := tiles.Restore(c.Size)
	if err != nil {
		return err
	}
	if before.Root() != c.Root {
		return ErrForked
	}
	return nil
}
