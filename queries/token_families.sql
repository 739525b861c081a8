-- The largest integer stands for the end of a family that has not been ended; see
-- sessions.sql for why it is written out, and why not always with =.

-- name: CreateTokenFamily :exec
INSERT INTO token_families (tenant, id, client_key, subject, abilities, handle, current, generation,
    created_at, refreshed_at, expires_at, tokens_until, ended_at, end_reason, seal)
VALUES (@tenant, @id, @client_key, @subject, @abilities, @handle, @current, @generation,
    @created_at, @refreshed_at, @expires_at, @tokens_until, @ended_at, @end_reason, @seal);

-- name: TokenFamily :one
SELECT * FROM token_families WHERE tenant = @tenant AND id = @id;

-- name: TokenFamilyByHandle :one
SELECT * FROM token_families WHERE tenant = @tenant AND handle = @handle;

-- name: RefreshTokenFamily :execrows
UPDATE token_families SET current = @current, generation = generation + 1,
    refreshed_at = @refreshed_at, expires_at = @expires_at, tokens_until = @tokens_until
WHERE tenant = @tenant AND id = @id AND current = @superseded AND ended_at >= 9223372036854775807;

-- name: EndTokenFamily :execrows
UPDATE token_families SET ended_at = @ended_at, end_reason = @end_reason
WHERE tenant = @tenant AND id = @id AND ended_at >= 9223372036854775807;

-- name: EndTokenFamiliesOfUser :many
UPDATE token_families SET ended_at = @ended_at, end_reason = @end_reason
WHERE tenant = @tenant AND subject = @subject AND ended_at = 9223372036854775807
RETURNING *;

-- name: DeleteTokenFamilies :execrows
-- Ids are never used twice, so the tenant need not be named.
DELETE FROM token_families
WHERE token_families.tokens_until < @before AND token_families.id IN (
    SELECT f.id FROM token_families f WHERE f.tokens_until < @before ORDER BY f.tokens_until LIMIT CAST(@max_rows AS bigint)
);
