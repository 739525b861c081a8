// Package schema embeds the migrations of both databases, as goose reads them.
// store/sqlstore applies them.
package schema

import "embed"

// Migrations holds one folder for each engine: postgres and sqlite.
//
//go:embed postgres/*.sql sqlite/*.sql
var Migrations embed.FS
