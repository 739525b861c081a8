package audit

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a hash of the tree: SHA-256, as RFC 6962 has it for leaves and nodes.
type Hash = tlog.Hash

// ParseHash reads a hash in base64.
func ParseHash(text string) (Hash, error) { return tlog.ParseHash(text) }

// Pending is the Seq of a Record that has no place in the tree yet.
const Pending = -1

// Record is an event as the database keeps it: what its leaf is made of.
type Record struct {
	// Seq is the place in the tree, which the leaf does not hold; or Pending.
	Seq int64

	Tenant, ID string
	// TimeMicros counts microseconds since 1970 in UTC.
	TimeMicros                                int64
	Actor, Action, Resource, Subject, Outcome string
	// Details is the JSON text that is kept.
	Details                  string
	IP, UserAgent, RequestID string
	Revision                 int64
	// Salt keeps a leaf's hash, which outlives the event, from telling anything of it.
	Salt string
}

// Leaf returns the bytes that the tree is made over: a JSON object on one line. Two
// records that differ in anything but Seq have different leaves, whatever bytes
// their fields hold.
func (r Record) Leaf() []byte {
	b := make([]byte, 0, 512+len(r.Details))
	b = appendText(append(b, `{"tenant":`...), r.Tenant)
	b = appendText(append(b, `,"id":`...), r.ID)
	b = time.UnixMicro(r.TimeMicros).UTC().AppendFormat(append(b, `,"time":"`...), "2006-01-02T15:04:05.000000Z")
	b = appendText(append(b, `","actor":`...), r.Actor)
	b = appendText(append(b, `,"action":`...), r.Action)
	b = appendText(append(b, `,"resource":`...), r.Resource)
	b = appendText(append(b, `,"user":`...), r.Subject)
	b = appendText(append(b, `,"outcome":`...), r.Outcome)
	b = append(b, `,"details":`...)
	if isObject(r.Details) {
		b = append(b, r.Details...)
	} else {
		b = appendText(b, r.Details)
	}
	b = appendText(append(b, `,"ip":`...), r.IP)
	b = appendText(append(b, `,"user_agent":`...), r.UserAgent)
	b = appendText(append(b, `,"request_id":`...), r.RequestID)
	b = strconv.AppendInt(append(b, `,"revision":`...), r.Revision, 10)
	b = appendText(append(b, `,"salt":`...), r.Salt)
	return append(b, '}')
}

// LeafHash is the hash of the record's leaf.
func (r Record) LeafHash() Hash { return tlog.RecordHash(r.Leaf()) }

// prunedSize reads how far an AuditPruned event says that the log was pruned.
func prunedSize(action string, details []byte) int64 {
	if action != AuditPruned {
		return 0
	}
	var says struct {
		Size int64 `json:"size"`
	}
	if json.Unmarshal(details, &says) != nil {
		return 0
	}
	return says.Size
}

// isObject tells whether text is a JSON object that can stand in a line as it is.
func isObject(text string) bool {
	return strings.HasPrefix(text, "{") && !strings.ContainsAny(text, "\r\n") && utf8.ValidString(text) && json.Valid([]byte(text))
}

// appendText appends a JSON string that no other text has. A byte that is not UTF-8
// becomes half of a surrogate pair, which no valid text does.
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\udc%02x`, text[0])
		case r == '"' || r == '\\':
			b = append(b, '\\', text[0])
		case r < ' ' || r == 0x7f:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = append(b, text[:size]...)
		}
		text = text[size:]
	}
	return append(b, '"')
}
