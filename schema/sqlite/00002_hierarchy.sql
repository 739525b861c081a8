-- +goose Up

-- What a tenant is strict about: 0 or 1.
ALTER TABLE tenants ADD COLUMN strict_permissions integer NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN strict_users integer NOT NULL DEFAULT 0;

-- Where a role can be held, as kinds of node separated by commas; empty is anywhere.
ALTER TABLE roles ADD COLUMN scopes text NOT NULL DEFAULT '';

-- A CEL expression; empty always applies.
ALTER TABLE grants ADD COLUMN condition text NOT NULL DEFAULT '';

-- A role has the grants of its parents too.
CREATE TABLE role_parents (
    tenant text NOT NULL,
    role   text NOT NULL,
    parent text NOT NULL,
    PRIMARY KEY (tenant, role, parent),
    FOREIGN KEY (tenant, role) REFERENCES roles (tenant, name),
    FOREIGN KEY (tenant, parent) REFERENCES roles (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX role_parents_by_parent ON role_parents (tenant, parent, role);

-- Users need not be registered: one who is not is active and has no properties.
CREATE TABLE users (
    tenant     text   NOT NULL REFERENCES tenants (id),
    name       text   NOT NULL,
    active     integer NOT NULL CHECK (active IN (0, 1)),
    properties text   NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE user_groups (
    tenant      text NOT NULL REFERENCES tenants (id),
    name        text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- A member is a user or another group.
CREATE TABLE group_members (
    tenant      text NOT NULL,
    member_type text NOT NULL CHECK (member_type IN ('user', 'group')),
    member      text NOT NULL,
    group_name  text NOT NULL,
    PRIMARY KEY (tenant, member_type, member, group_name),
    FOREIGN KEY (tenant, group_name) REFERENCES user_groups (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_members_by_group ON group_members (tenant, group_name, member_type, member);

-- The tree below the root: organizations, projects, teams, and resources of any
-- other type. The parent ('tenant', '') is the root, which has no row.
CREATE TABLE nodes (
    tenant      text NOT NULL REFERENCES tenants (id),
    type        text NOT NULL,
    id          text NOT NULL,
    parent_type text NOT NULL,
    parent_id   text NOT NULL,
    name        text NOT NULL,
    owner       text NOT NULL,
    properties  text NOT NULL,
    PRIMARY KEY (tenant, type, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX nodes_by_parent ON nodes (tenant, parent_type, parent_id, type, id);
CREATE INDEX nodes_by_owner ON nodes (tenant, owner, type, id);

CREATE TABLE tools (
    tenant      text NOT NULL REFERENCES tenants (id),
    name        text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- A permission is defined by one tool at most.
CREATE TABLE tool_permissions (
    tenant      text NOT NULL,
    permission  text NOT NULL,
    tool        text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (tenant, permission),
    FOREIGN KEY (tenant, tool) REFERENCES tools (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX tool_permissions_by_tool ON tool_permissions (tenant, tool, permission);

CREATE INDEX memberships_by_node ON memberships (tenant, node_type, node_id, subject_type, subject, role);

-- +goose Down
DROP INDEX memberships_by_node;
DROP TABLE tool_permissions;
DROP TABLE tools;
DROP TABLE nodes;
DROP TABLE group_members;
DROP TABLE user_groups;
DROP TABLE users;
DROP TABLE role_parents;
ALTER TABLE grants DROP COLUMN condition;
ALTER TABLE roles DROP COLUMN scopes;
ALTER TABLE tenants DROP COLUMN strict_users;
ALTER TABLE tenants DROP COLUMN strict_permissions;
