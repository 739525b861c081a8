-- What is asked of sealed groups: names are one sealed form.

-- name: SealedGroupMember :one
SELECT * FROM group_members
WHERE tenant = @tenant AND member_type = @member_type AND member = @member AND group_name = @group_name;

-- name: SealedMembersOfGroup :many
SELECT * FROM group_members
WHERE tenant = @tenant AND group_name = @group_name AND member_type = @member_type AND member > @after
ORDER BY member
LIMIT CAST(@max_rows AS bigint);

-- name: SealedUsersInGroups :many
SELECT * FROM group_members
WHERE tenant = @tenant AND member_type = 'user'
  AND member >= @after_member AND (member > @after_member OR group_name > @after_group)
ORDER BY member, group_name
LIMIT CAST(@max_rows AS bigint);
