-- name: AllSealedRows :many
-- How many rows of each table are sealed with what, which is what their seal begins with.
SELECT CAST(counted.place AS text) AS place, CAST(counted.prefix AS text) AS prefix, CAST(counted.row_count AS bigint) AS row_count FROM (
SELECT 'users' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM users GROUP BY 2
UNION ALL SELECT 'user_groups' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM user_groups GROUP BY 2
UNION ALL SELECT 'group_members' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM group_members GROUP BY 2
UNION ALL SELECT 'memberships' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM memberships GROUP BY 2
UNION ALL SELECT 'roles' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM roles GROUP BY 2
UNION ALL SELECT 'grants' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM grants GROUP BY 2
UNION ALL SELECT 'tools' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM tools GROUP BY 2
UNION ALL SELECT 'tool_permissions' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM tool_permissions GROUP BY 2
UNION ALL SELECT 'nodes' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM nodes GROUP BY 2
UNION ALL SELECT 'changes' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM changes GROUP BY 2
UNION ALL SELECT 'sessions' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM sessions GROUP BY 2
UNION ALL SELECT 'session_users' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM session_users GROUP BY 2
UNION ALL SELECT 'token_families' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM token_families GROUP BY 2
UNION ALL SELECT 'decisions' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM decisions GROUP BY 2
UNION ALL SELECT 'signing_keys' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM signing_keys GROUP BY 2
UNION ALL SELECT 'audit_events' AS place, substr(seal, 1, instr(seal, '.')) AS prefix, count(*) AS row_count FROM audit_events GROUP BY 2
) counted;
