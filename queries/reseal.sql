-- What sealing the rows of a tenant anew, with another key, reads and writes of them: as
-- they are stored, by their primary key, which holds sealed names. Each is written only
-- where it still is what was read.

-- name: UsersBehind :many
SELECT * FROM users
WHERE tenant = @tenant AND name > @after_name
ORDER BY name
LIMIT CAST(@max_rows AS bigint);

-- name: ResealUser :execrows
UPDATE users SET name = @name, properties = @properties, seal = @seal
WHERE tenant = @tenant AND name = @old_name AND seal = @old_seal;

-- name: UserGroupsBehind :many
SELECT * FROM user_groups
WHERE tenant = @tenant AND name > @after_name
ORDER BY name
LIMIT CAST(@max_rows AS bigint);

-- name: ResealUserGroup :execrows
UPDATE user_groups SET name = @name, description = @description, seal = @seal
WHERE tenant = @tenant AND name = @old_name AND seal = @old_seal;

-- name: GroupMembersBehind :many
SELECT * FROM group_members
WHERE tenant = @tenant AND member_type = @member_type
  AND member >= @after_member AND (member > @after_member OR group_name > @after_group_name)
ORDER BY member, group_name
LIMIT CAST(@max_rows AS bigint);

-- name: ResealGroupMember :execrows
UPDATE group_members SET member = @member, group_name = @group_name, seal = @seal
WHERE tenant = @tenant AND member_type = @member_type AND member = @old_member AND group_name = @old_group_name AND seal = @old_seal;

-- name: MembershipsBehind :many
SELECT * FROM memberships
WHERE tenant = @tenant AND subject_type = @subject_type
  AND subject >= @after_subject AND (subject > @after_subject
    OR node_type > @after_node_type OR (node_type = @after_node_type
    AND (node_id > @after_node_id OR (node_id = @after_node_id AND role > @after_role))))
ORDER BY subject, node_type, node_id, role
LIMIT CAST(@max_rows AS bigint);

-- name: ResealMembership :execrows
UPDATE memberships SET subject = @subject, seal = @seal
WHERE tenant = @tenant AND subject_type = @subject_type AND subject = @old_subject
  AND node_type = @node_type AND node_id = @node_id AND role = @role AND seal = @old_seal;

-- name: RolesBehind :many
SELECT * FROM roles
WHERE tenant = @tenant AND name > @after_name
ORDER BY name
LIMIT CAST(@max_rows AS bigint);

-- name: ResealRole :execrows
UPDATE roles SET description = @description, seal = @seal
WHERE tenant = @tenant AND name = @name AND seal = @old_seal;

-- name: GrantsBehind :many
SELECT * FROM grants
WHERE tenant = @tenant AND role >= @after_role AND (role > @after_role OR permission > @after_permission)
ORDER BY role, permission
LIMIT CAST(@max_rows AS bigint);

-- name: ResealGrant :execrows
UPDATE grants SET permission = @permission, condition = @condition, seal = @seal
WHERE tenant = @tenant AND role = @role AND permission = @old_permission AND seal = @old_seal;

-- name: ToolsBehind :many
SELECT * FROM tools
WHERE tenant = @tenant AND name > @after_name
ORDER BY name
LIMIT CAST(@max_rows AS bigint);

-- name: ResealTool :execrows
UPDATE tools SET description = @description, seal = @seal
WHERE tenant = @tenant AND name = @name AND seal = @old_seal;

-- name: ToolPermissionsBehind :many
SELECT * FROM tool_permissions
WHERE tenant = @tenant AND permission > @after_permission
ORDER BY permission
LIMIT CAST(@max_rows AS bigint);

-- name: ResealToolPermission :execrows
UPDATE tool_permissions SET permission = @permission, description = @description, seal = @seal
WHERE tenant = @tenant AND permission = @old_permission AND seal = @old_seal;

-- name: NodesBehind :many
SELECT * FROM nodes
WHERE tenant = @tenant AND type = @type AND id > @after_id
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: NodeTypeBehind :one
SELECT type FROM nodes
WHERE tenant = @tenant AND type > @after_type
ORDER BY type
LIMIT 1;

-- name: ResealNode :execrows
UPDATE nodes SET name = @name, owner = @owner, properties = @properties, seal = @seal
WHERE tenant = @tenant AND type = @type AND id = @id AND seal = @old_seal;

-- name: ChangesBehind :many
SELECT * FROM changes
WHERE tenant = @tenant AND revision >= @after_revision AND (revision > @after_revision OR position > @after_position)
ORDER BY revision, position
LIMIT CAST(@max_rows AS bigint);

-- name: ResealChange :execrows
UPDATE changes SET key = @key, seal = @seal
WHERE tenant = @tenant AND revision = @revision AND position = @position AND seal = @old_seal;

-- name: AuditEventsBehind :many
SELECT * FROM audit_events
WHERE tenant = @tenant AND id > @after_id
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: ResealAuditEvent :execrows
UPDATE audit_events SET subject = @subject, resource = @resource, details = @details, ip = @ip, user_agent = @user_agent, salt = @salt, seal = @seal
WHERE tenant = @tenant AND id = @id AND seal = @old_seal;

-- name: SessionsBehind :many
SELECT * FROM sessions
WHERE tenant = @tenant AND id > @after_id
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: ResealSession :execrows
-- Where it is plain, a rotation may have changed what the seal of others holds.
UPDATE sessions SET subject = @subject, ip = @ip, user_agent = @user_agent, seal = @seal
WHERE tenant = @tenant AND id = @id AND seal = @old_seal AND ip = @old_ip AND user_agent = @old_user_agent;

-- name: SessionUsersBehind :many
SELECT * FROM session_users
WHERE tenant = @tenant AND name > @after_name
ORDER BY name
LIMIT CAST(@max_rows AS bigint);

-- name: ResealSessionUser :execrows
UPDATE session_users SET name = @name, epoch = @epoch, seal = @seal
WHERE tenant = @tenant AND name = @old_name AND seal = @old_seal AND epoch = @old_epoch;

-- name: TokenFamiliesBehind :many
SELECT * FROM token_families
WHERE tenant = @tenant AND id > @after_id
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: ResealTokenFamily :execrows
UPDATE token_families SET subject = @subject, seal = @seal
WHERE tenant = @tenant AND id = @id AND seal = @old_seal;

-- name: DecisionsBehind :many
SELECT * FROM decisions
WHERE tenant = @tenant AND id > @after_id
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: ResealDecision :execrows
UPDATE decisions SET subject = @subject, permission = @permission, details = @details, ip = @ip, seal = @seal
WHERE tenant = @tenant AND id = @id AND seal = @old_seal;

-- name: AllSigningKeys :many
SELECT * FROM signing_keys ORDER BY purpose, number;

-- name: ResealSigningKey :execrows
UPDATE signing_keys SET material = @material, seal = @seal
WHERE purpose = @purpose AND number = @number AND seal = @old_seal;

-- name: UnsealedTenants :many
-- Those whose values are not all sealed as they are to be, from behind an id.
SELECT id FROM tenants
WHERE id > @after_id AND (sealed_with <> @sealed_with OR sealed_also <> '')
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: UnknownTenants :many
-- Those that something is kept of and that have no row. Each table is asked for the next
-- tenant behind an id.
SELECT CAST(known.tenant AS text) AS tenant FROM (
    SELECT min(a.tenant) AS tenant FROM audit_events a WHERE a.tenant > @after_id
    UNION SELECT min(s.tenant) AS tenant FROM sessions s WHERE s.tenant > @after_id
    UNION SELECT min(u.tenant) AS tenant FROM session_users u WHERE u.tenant > @after_id
    UNION SELECT min(f.tenant) AS tenant FROM token_families f WHERE f.tenant > @after_id
    UNION SELECT min(d.tenant) AS tenant FROM decisions d WHERE d.tenant > @after_id
) known
WHERE known.tenant IS NOT NULL;
