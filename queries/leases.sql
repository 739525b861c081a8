-- name: CreateLease :execrows
INSERT INTO leases (name, holder, expires_at) VALUES (@name, @holder, @expires_at)
ON CONFLICT (name) DO NOTHING;

-- name: TakeLease :execrows
-- Takes a lease that has expired, or keeps one.
UPDATE leases SET holder = @holder, expires_at = @expires_at
WHERE name = @name AND (holder = @holder OR expires_at <= @at);

-- name: EndLease :execrows
DELETE FROM leases WHERE name = @name AND holder = @holder;
