package server

// NewWithoutShortcuts is New for a server that answers every request the generic way.
func NewWithoutShortcuts(cfg Config) (*Server, error) { return newServer(cfg, false) }

// FromHere is what stands before profiles.
var FromHere = fromHere
