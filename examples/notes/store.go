package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/gatehouse/gatehouse/authz"
)

// store keeps the application's own data.
type store struct{ db *sql.DB }

// note is a note. Who owns it and where it hangs is kept here, and told to Gatehouse
// with each question: there is no second copy that could differ.
type note struct {
	ID          string
	Place       authz.Node // a project or a team
	Owner       string
	Title, Body string
	ChangedAt   time.Time
}

// errNoNote says that there is no such note.
var errNoNote = errors.New("there is no such note")

const tables = `
CREATE TABLE people (
	name     TEXT PRIMARY KEY,
	password BLOB NOT NULL
) STRICT;
CREATE TABLE notes (
	id         TEXT PRIMARY KEY,
	place_kind TEXT NOT NULL,
	place_id   TEXT NOT NULL,
	owner      TEXT NOT NULL,
	title      TEXT NOT NULL,
	body       TEXT NOT NULL,
	changed_at INTEGER NOT NULL -- microseconds since 1970
) STRICT;
PRAGMA user_version = 1;`

// openStore opens notes.sqlite3 in a folder. A new file is filled with the demo.
func openStore(ctx context.Context, folder string) (*store, error) {
	path, err := filepath.Abs(filepath.Join(folder, "notes.sqlite3"))
	if err != nil {
		return nil, err
	}
	pragmas := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, err
	}
	s := &store{db}
	if err := s.fill(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *store) close() error { return s.db.Close() }

// fill makes the tables and what the demo begins with, where there is nothing yet.
func (s *store) fill(ctx context.Context) error {
	var version int
	if err := s.db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil || version > 0 {
		return err
	}
	if _, err := s.db.ExecContext(ctx, tables); err != nil {
		return fmt.Errorf("make the tables: %w", err)
	}
	if err := s.addPeople(ctx); err != nil {
		return err
	}
	for _, n := range []note{
		{ID: "launch", Place: apollo, Owner: "alice", Title: "Launch plan", Body: "Up in July.\nDown eight days later, with stones."},
		{ID: "rations", Place: crew, Owner: "alice", Title: "Rations", Body: "Bacon squares, peaches, and coffee."},
		{ID: "checklist", Place: apollo, Owner: "bob", Title: "Checklist", Body: "Read the launch plan.\nMend its spelling."},
		{ID: "budget", Place: gemini, Owner: "carol", Title: "Budget", Body: "Two seats. One window each."},
	} {
		if err := s.insert(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

const columns = `id, place_kind, place_id, owner, title, body, changed_at`

// note reads a note; errNoNote where there is none.
func (s *store) note(ctx context.Context, id string) (note, error) {
	n, err := scan(s.db.QueryRowContext(ctx, `SELECT `+columns+` FROM notes WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return note{}, errNoNote
	}
	if err != nil {
		return note{}, fmt.Errorf("read a note: %w", err)
	}
	return n, nil
}

// newest reads the notes that were changed last, whoever they are for.
func (s *store) newest(ctx context.Context, limit int) ([]note, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+columns+` FROM notes ORDER BY changed_at DESC, id LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("read the notes: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var notes []note
	for rows.Next() {
		n, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read the notes: %w", err)
		}
		notes = append(notes, n)
	}
	return notes, rows.Err()
}

func scan(row interface{ Scan(...any) error }) (note, error) {
	var n note
	var changedAt int64
	err := row.Scan(&n.ID, &n.Place.Type, &n.Place.ID, &n.Owner, &n.Title, &n.Body, &changedAt)
	n.ChangedAt = time.UnixMicro(changedAt)
	return n, err
}

// create keeps a new note, under an id that it chooses.
func (s *store) create(ctx context.Context, n note) (id string, err error) {
	n.ID = rand.Text()
	return n.ID, s.insert(ctx, n)
}

func (s *store) insert(ctx context.Context, n note) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO notes (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		n.ID, n.Place.Type, n.Place.ID, n.Owner, n.Title, n.Body, time.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("write a note: %w", err)
	}
	return nil
}

// update changes what a note says; neither whose it is nor where it hangs.
func (s *store) update(ctx context.Context, id, title, body string) error {
	_, err := s.db.ExecContext(ctx, `UPDATE notes SET title = ?, body = ?, changed_at = ? WHERE id = ?`,
		title, body, time.Now().UnixMicro(), id)
	if err != nil {
		return fmt.Errorf("change a note: %w", err)
	}
	return nil
}

func (s *store) delete(ctx context.Context, id string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM notes WHERE id = ?`, id); err != nil {
		return fmt.Errorf("delete a note: %w", err)
	}
	return nil
}
