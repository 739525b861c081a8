package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/store"
)

// noProperties is what the tables hold for none.
const noProperties = "{}"

// kinds are in the order in which a role's are kept: from the root down.
var kinds = []authz.Kind{
	authz.KindTenant, authz.KindOrganization, authz.KindProject, authz.KindTeam, authz.KindResource,
}

// propertiesText encodes properties as the tables hold them. Keys are sorted, so
// equal properties give equal texts.
func propertiesText(properties map[string]any) (string, error) {
	if len(properties) == 0 {
		return noProperties, nil
	}
	text, err := json.Marshal(properties)
	if err != nil {
		return "", fmt.Errorf("encode properties: %w", err)
	}
	return string(text), nil
}

// propertiesOf is nil where there are none.
func propertiesOf(text string) (properties map[string]any, err error) {
	if text == noProperties {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &properties); err != nil {
		return nil, fmt.Errorf("decode properties: %w", err)
	}
	return properties, nil
}

func nodeRecord(row postgres.Node) (store.NodeRecord, error) {
	properties, err := propertiesOf(row.Properties)
	if err != nil {
		return store.NodeRecord{}, err
	}
	return store.NodeRecord{
		Node:       authz.Node{Type: row.Type, ID: row.ID},
		Parent:     authz.Node{Type: row.ParentType, ID: row.ParentID},
		Name:       row.Name,
		Owner:      row.Owner,
		Properties: properties,
	}, nil
}

func nodeRecords(rows []postgres.Node) ([]store.NodeRecord, error) {
	records := make([]store.NodeRecord, len(rows))
	for i, row := range rows {
		var err error
		if records[i], err = nodeRecord(row); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// kindsText lists kinds as the tables hold them: each once, separated by commas.
func kindsText(list []authz.Kind) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b authz.Kind) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a), slices.Index(kinds, b)), cmp.Compare(a, b))
	})
	var text strings.Builder
	for i, kind := range slices.Compact(list) {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(string(kind))
	}
	return text.String()
}

func kindsOf(text string) []authz.Kind {
	if text == "" {
		return nil
	}
	var list []authz.Kind
	for kind := range strings.SplitSeq(text, ",") {
		list = append(list, authz.Kind(kind))
	}
	return list
}

// windowOf turns a membership's bounds back into times.
func windowOf(notBefore, expiresAt int64) authz.Window {
	return authz.Window{NotBefore: timeOf(notBefore), ExpiresAt: endOf(expiresAt)}
}

// unlessNoRows is classify for a look-up, where no row is no error.
func unlessNoRows(ctx context.Context, err error, doing string) error {
	if isNoRows(err) {
		return nil
	}
	return classify(ctx, err, doing)
}

// flag is how the queries take a bool.
func flag(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

// storable replaces what PostgreSQL's text cannot hold and SQLite's can: bytes
// that are not UTF-8, and NUL. A User-Agent may hold either, and must not keep
// its event from being written.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
