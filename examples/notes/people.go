package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/crypto/bcrypt"
)

// people are the demo's accounts. Their passwords are no secret.
var people = []struct{ name, password, is string }{
	{"alice", "rabbit-hole", "writes in the project Apollo"},
	{"bob", "sponge-cake", "edits everybody's notes there"},
	{"carol", "silent-night", "is the admin, and writes in Gemini"},
}

// passwordCost is how much work it is to try a password: some 60 ms.
const passwordCost = 10

// addPeople keeps the demo's accounts, with their passwords hashed.
func (s *store) addPeople(ctx context.Context) error {
	for _, p := range people {
		hash, err := bcrypt.GenerateFromPassword([]byte(p.password), passwordCost)
		if err != nil {
			return fmt.Errorf("hash a password: %w", err)
		}
		const insert = `INSERT INTO people (name, password) VALUES (?, ?)`
		if _, err := s.db.ExecContext(ctx, insert, p.name, hash); err != nil {
			return fmt.Errorf("add %s: %w", p.name, err)
		}
	}
	return nil
}

// nobodysHash is compared with where there is no such name, so that how long an
// answer takes does not tell which names there are. No password has it.
var nobodysHash = []byte("$2a$10$eImiTXuWVxfM37uY4JANjQ000000000000000000000000000000.")

// passwordIs checks a password. An application that is on the internet also bounds
// how often it can be tried, or leaves the whole matter to an identity provider:
// Gatehouse only wants to be told who has signed in.
func (s *store) passwordIs(ctx context.Context, name, password string) (bool, error) {
	var hash []byte
	err := s.db.QueryRowContext(ctx, `SELECT password FROM people WHERE name = ?`, name).Scan(&hash)
	known := err == nil
	switch {
	case errors.Is(err, sql.ErrNoRows):
		hash = nobodysHash
	case err != nil:
		return false, fmt.Errorf("find a password: %w", err)
	}
	err = bcrypt.CompareHashAndPassword(hash, []byte(password))
	return known && err == nil, nil
}
