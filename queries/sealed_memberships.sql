-- What is asked of sealed memberships: a subject is one sealed form.

-- name: SealedMembership :one
SELECT * FROM memberships
WHERE tenant = @tenant AND subject_type = @subject_type AND subject = @subject
  AND node_type = @node_type AND node_id = @node_id AND role = @role;

-- name: SealedMembershipsAt :many
SELECT * FROM memberships
WHERE tenant = @tenant AND node_type = @node_type AND node_id = @node_id AND subject_type = @subject_type
  AND subject >= @after_subject AND (subject > @after_subject OR role > @after_role)
ORDER BY subject, role
LIMIT CAST(@max_rows AS bigint);

-- name: SealedMembershipsOfUsers :many
SELECT * FROM memberships
WHERE tenant = @tenant AND subject_type = 'user'
  AND subject >= @after_subject AND (subject > @after_subject OR node_type > @after_node_type
    OR (node_type = @after_node_type AND (node_id > @after_node_id OR (node_id = @after_node_id AND role > @after_role))))
ORDER BY subject, node_type, node_id, role
LIMIT CAST(@max_rows AS bigint);
