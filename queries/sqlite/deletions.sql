-- SQLite would otherwise read all that the tenant has in the table, and takes no index by
-- name in a DELETE. PostgreSQL finds it.

-- name: DeleteMembershipsOfRole :execrows
DELETE FROM memberships
WHERE memberships.tenant = @tenant AND (memberships.subject_type, memberships.subject, memberships.node_type, memberships.node_id, memberships.role) IN (
    SELECT m.subject_type, m.subject, m.node_type, m.node_id, m.role FROM memberships m INDEXED BY memberships_by_role
    WHERE m.tenant = @tenant AND m.role = @role);

-- name: DeleteMembersOfGroup :execrows
DELETE FROM group_members
WHERE group_members.tenant = @tenant AND (group_members.member_type, group_members.member, group_members.group_name) IN (
    SELECT gm.member_type, gm.member, gm.group_name FROM group_members gm INDEXED BY group_members_by_group
    WHERE gm.tenant = @tenant AND gm.group_name = @group_name);
