-- name: CreateGroup :execrows
INSERT INTO user_groups (tenant, name, description, seal) VALUES (@tenant, @name, '', @seal)
ON CONFLICT (tenant, name) DO NOTHING;

-- name: SetGroup :execrows
INSERT INTO user_groups (tenant, name, description, seal) VALUES (@tenant, @name, @description, @seal)
ON CONFLICT (tenant, name) DO UPDATE SET description = excluded.description
WHERE user_groups.description <> excluded.description;

-- name: DeleteGroup :execrows
DELETE FROM user_groups WHERE tenant = @tenant AND name = @name;

-- name: Group :one
SELECT name, description, seal FROM user_groups WHERE tenant = @tenant AND name = @name;

-- name: AddGroupMember :execrows
INSERT INTO group_members (tenant, member_type, member, group_name, seal)
VALUES (@tenant, @member_type, @member, @group_name, @seal)
ON CONFLICT (tenant, member_type, member, group_name) DO NOTHING;

-- name: RemoveGroupMember :execrows
DELETE FROM group_members
WHERE tenant = @tenant AND member_type = @member_type AND member = @member AND group_name = @group_name;

-- name: LeaveGroups :execrows
DELETE FROM group_members WHERE tenant = @tenant AND member_type = @member_type AND member = @member;

-- name: Groups :many
SELECT name, description, seal FROM user_groups
WHERE tenant = @tenant AND name > @after
ORDER BY name
LIMIT CAST(@max_rows AS bigint);

-- name: GroupMembers :many
-- Users come before groups, and each kind has a keyset of its own.
SELECT member_type, member FROM (
    SELECT gm.member_type, gm.member FROM group_members gm
    WHERE gm.tenant = @tenant AND gm.group_name = @group_name AND gm.member_type = 'user'
      AND CAST(@with_users AS bigint) = 1 AND gm.member > @after_user
    ORDER BY gm.member LIMIT CAST(@max_rows AS bigint)) by_user
UNION ALL
SELECT member_type, member FROM (
    SELECT gm.member_type, gm.member FROM group_members gm
    WHERE gm.tenant = @tenant AND gm.group_name = @group_name AND gm.member_type = 'group' AND gm.member > @after_group
    ORDER BY gm.member LIMIT CAST(@max_rows AS bigint)) by_group
ORDER BY member_type DESC, member
LIMIT CAST(@max_rows AS bigint);
