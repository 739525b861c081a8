-- name: SigningKeys :many
SELECT * FROM signing_keys WHERE purpose = @purpose ORDER BY number;

-- name: CreateSigningKey :execrows
INSERT INTO signing_keys (purpose, number, id, algorithm, material, created_at, signs_from, seal)
VALUES (@purpose, @number, @id, @algorithm, @material, @created_at, @signs_from, @seal)
ON CONFLICT (purpose, number) DO NOTHING;

-- name: DeleteSigningKeys :execrows
DELETE FROM signing_keys WHERE purpose = @purpose AND number <= @up_to;
