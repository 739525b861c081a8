package sqlstore

import "time"

// SetGrace replaces what EnableEncryption waits for processes without secrets.
func (s *Store) SetGrace(grace time.Duration) { s.grace = grace }
