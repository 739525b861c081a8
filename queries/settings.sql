-- name: Settings :one
SELECT strict_permissions, strict_users FROM tenants WHERE id = @tenant;

-- name: SetSettings :execrows
UPDATE tenants SET strict_permissions = @strict_permissions, strict_users = @strict_users
WHERE id = @tenant AND (strict_permissions <> @strict_permissions OR strict_users <> @strict_users);
