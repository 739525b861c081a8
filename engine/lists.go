package engine

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

// How many items a page may hold, and how many it holds unless told.
const (
	MaxPage     = 10_000
	DefaultPage = 1000
)

const (
	// maxPageBytes is about how much memory the properties on a page may take: the page
	// ends with the item that goes beyond.
	maxPageBytes = 8 << 20
	// heavyChunk is how many items that have properties are read at once, so that what
	// is read has at most 4 MiB of them.
	heavyChunk = 4 << 20 / maxProperties
)

// lister is one kind of list: how to read a part of it, and where an item stands.
type lister[T any] struct {
	// prepare is told the snapshot and its revision before anything is read; nil where
	// that does not matter.
	prepare func(r store.Reader, revision int64) error
	// read returns items from behind a position, whose parts are empty at first.
	read func(r store.Reader, after []string, limit int) ([]T, error)
	// position is the sort key of an item.
	position func(T) []string
	// parts is how many parts a position has; 0 means 1.
	parts int
	// properties are an item's; nil where items have none.
	properties func(T) map[string]any
	// count counts the items of all pages; nil where the list does not say.
	count func(store.Reader) (int64, error)
	// wanted is what a replica must have to answer.
	wanted store.Wanted
}

// list reads one page, with its revision and count, from one snapshot.
func list[T any](ctx context.Context, t *Tenant, page authz.Page, asked string, l lister[T]) (authz.List[T], error) {
	limit, err := pageLimit(page)
	if err != nil {
		return authz.List[T]{}, err
	}
	after, err := parseCursor(page.Cursor, asked, max(l.parts, 1))
	if err != nil {
		return authz.List[T]{}, err
	}
	if err := authz.ValidateID(t.id); err != nil {
		return authz.List[T]{}, invalid("tenant", err)
	}
	var result authz.List[T]
	var more bool
	err = t.viewAnywhere(ctx, l.wanted, func(r store.Reader) (err error) {
		if result.Revision, err = r.Revision(ctx); err != nil {
			return err
		}
		if l.prepare != nil {
			if err := l.prepare(r, result.Revision); err != nil {
				return err
			}
		}
		if result.Items, more, err = l.page(r, after, limit); err != nil || l.count == nil {
			return err
		}
		result.Total, err = l.count(r)
		return err
	})
	if err != nil {
		return authz.List[T]{}, err
	}
	if more {
		result.Next = cursor(asked, l.position(result.Items[len(result.Items)-1]))
	}
	return result, nil
}

// page reads up to limit items, fewer where they are heavy. more tells whether
// others follow.
func (l lister[T]) page(r store.Reader, after []string, limit int) (items []T, more bool, err error) {
	// One item more than asked for tells whether there is a next page.
	if l.properties == nil {
		items, err = l.read(r, after, limit+1)
		return items[:min(len(items), limit)], len(items) > limit, err
	}
	items = []T{}
	for weight := 0; ; {
		chunk := min(limit+1-len(items), heavyChunk)
		read, err := l.read(r, after, chunk)
		if err != nil {
			return nil, false, err
		}
		for _, item := range read {
			if len(items) == limit || weight >= maxPageBytes {
				return items, true, nil
			}
			items = append(items, item)
			weight += store.WeighProperties(l.properties(item))
		}
		if len(read) < chunk {
			return items, false, nil
		}
		after = l.position(items[len(items)-1])
	}
}

// names pages through names that are all in memory, sorted; Total counts them.
func (t *Tenant) names(ctx context.Context, page authz.Page, asked string, gather func(*live.View) ([]string, error)) (authz.List[string], error) {
	limit, err := pageLimit(page)
	if err != nil {
		return authz.List[string]{}, err
	}
	after, err := parseCursor(page.Cursor, asked, 1)
	if err != nil {
		return authz.List[string]{}, err
	}
	var all []string
	basis, err := t.ask(ctx, func(view *live.View) (err error) {
		all, err = gather(view)
		return err
	})
	if err != nil {
		return authz.List[string]{}, err
	}
	from, found := slices.BinarySearch(all, after[0])
	if found {
		from++
	}
	result := authz.List[string]{Items: all[from:], Total: int64(len(all)), Revision: basis.Revision, Stale: basis.Stale}
	if len(result.Items) > limit {
		result.Items = result.Items[:limit]
		result.Next = cursor(asked, result.Items[limit-1:])
	}
	return result, nil
}

// view reads from one snapshot of the database, at least at AtLeast's revision; in a
// batch, from its transaction.
func (t *Tenant) view(ctx context.Context, fn func(store.Reader) error) error {
	if t.tx != nil {
		return t.tx.view(fn)
	}
	if err := t.Reach(ctx); err != nil {
		return err
	}
	return t.engine.store.View(ctx, t.id, fn)
}

// viewAnywhere is view for what a replica may answer. It may call fn again.
func (t *Tenant) viewAnywhere(ctx context.Context, wanted store.Wanted, fn func(store.Reader) error) error {
	if t.tx != nil {
		return t.tx.view(fn)
	}
	if err := t.Reach(ctx); err != nil {
		return err
	}
	return t.engine.store.ViewAnywhere(ctx, t.id, wanted, fn)
}

// Reach waits for AtLeast's revision, as every answer does. A caller who bounds how many
// answers are made at once can so wait without taking part.
func (t *Tenant) Reach(ctx context.Context) error {
	if t.least == 0 {
		return nil
	}
	_, err := t.ask(ctx, func(*live.View) error { return nil })
	return err
}

func pageLimit(page authz.Page) (int, error) {
	switch {
	case page.Limit == 0:
		return DefaultPage, nil
	case page.Limit < 1 || page.Limit > MaxPage:
		return 0, fault.Invalid("limit: must be between 1 and %d", MaxPage)
	default:
		return page.Limit, nil
	}
}

// name is the position of an item that is its own name.
func name(s string) []string { return []string{s} }

// question identifies what a list answers, so that a cursor serves no other.
func question(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return string(sum[:8])
}

// cursor is a position in the list that answers a question. It holds nothing that
// the caller has not been shown.
func cursor(asked string, position []string) string {
	parts, err := json.Marshal(position)
	if err != nil {
		panic(err) // strings always marshal
	}
	return base64.RawURLEncoding.EncodeToString(append([]byte(asked), parts...))
}

// parseCursor reads what cursor wrote; an empty one is the list's beginning.
func parseCursor(s, asked string, parts int) ([]string, error) {
	if s == "" {
		return make([]string, parts), nil
	}
	var position []string
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && len(raw) > len(asked) && string(raw[:len(asked)]) == asked &&
		json.Unmarshal(raw[len(asked):], &position) == nil && len(position) == parts &&
		!strings.Contains(strings.Join(position, ""), "\x00") {
		return position, nil
	}
	return nil, errCursor
}

var errCursor = fault.Invalid("cursor: is not one that this list gave")
