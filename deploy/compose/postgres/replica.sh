#!/bin/sh
# Copies the primary when there is no copy yet, then runs the command that follows it.
# PGPASSWORD is that of the primary's user replicator.
set -eu
if [ ! -d "$PGDATA" ]; then
	# Made beside its place, so that half a copy is never taken for a whole one.
	rm -rf "$PGDATA.new"
	pg_basebackup --host="${PRIMARY_HOST:-primary}" --port="${PRIMARY_PORT:-5432}" --username=replicator --no-password \
		--pgdata="$PGDATA.new" --wal-method=stream --slot=replica --checkpoint=fast --write-recovery-conf
	mv "$PGDATA.new" "$PGDATA"
fi
unset PGPASSWORD # it is in the copy's primary_conninfo
exec "$@"
