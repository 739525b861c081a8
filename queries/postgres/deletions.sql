-- Apart from SQLite's, which must be told the index.

-- name: DeleteMembershipsOfRole :execrows
DELETE FROM memberships WHERE tenant = @tenant AND role = @role;

-- name: DeleteMembersOfGroup :execrows
DELETE FROM group_members WHERE tenant = @tenant AND group_name = @group_name;
