-- +goose Up

-- What a tenant is strict about: 0 or 1.
ALTER TABLE tenants ADD COLUMN strict_permissions bigint NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN strict_users bigint NOT NULL DEFAULT 0;

-- Where a role can be held, as kinds of node separated by commas; empty is anywhere.
ALTER TABLE roles ADD COLUMN scopes text COLLATE "C" NOT NULL DEFAULT '';

-- A CEL expression; empty always applies.
ALTER TABLE grants ADD COLUMN condition text COLLATE "C" NOT NULL DEFAULT '';

-- A role has the grants of its parents too.
CREATE TABLE role_parents (
    tenant text COLLATE "C" NOT NULL,
    role   text COLLATE "C" NOT NULL,
    parent text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, role, parent),
    FOREIGN KEY (tenant, role) REFERENCES roles (tenant, name),
    FOREIGN KEY (tenant, parent) REFERENCES roles (tenant, name)
);

CREATE INDEX role_parents_by_parent ON role_parents (tenant, parent, role);

-- Users need not be registered: one who is not is active and has no properties.
CREATE TABLE users (
    tenant     text   COLLATE "C" NOT NULL REFERENCES tenants (id),
    name       text   COLLATE "C" NOT NULL,
    active     bigint NOT NULL CHECK (active IN (0, 1)),
    properties text   COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE user_groups (
    tenant      text COLLATE "C" NOT NULL REFERENCES tenants (id),
    name        text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- A member is a user or another group.
CREATE TABLE group_members (
    tenant      text COLLATE "C" NOT NULL,
    member_type text COLLATE "C" NOT NULL CHECK (member_type IN ('user', 'group')),
    member      text COLLATE "C" NOT NULL,
    group_name  text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, member_type, member, group_name),
    FOREIGN KEY (tenant, group_name) REFERENCES user_groups (tenant, name)
);

CREATE INDEX group_members_by_group ON group_members (tenant, group_name, member_type, member);

-- The tree below the root: organizations, projects, teams, and resources of any
-- other type. The parent ('tenant', '') is the root, which has no row.
CREATE TABLE nodes (
    tenant      text COLLATE "C" NOT NULL REFERENCES tenants (id),
    type        text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    parent_type text COLLATE "C" NOT NULL,
    parent_id   text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    properties  text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, type, id)
);

CREATE INDEX nodes_by_parent ON nodes (tenant, parent_type, parent_id, type, id);
CREATE INDEX nodes_by_owner ON nodes (tenant, owner, type, id);

CREATE TABLE tools (
    tenant      text COLLATE "C" NOT NULL REFERENCES tenants (id),
    name        text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- A permission is defined by one tool at most.
CREATE TABLE tool_permissions (
    tenant      text COLLATE "C" NOT NULL,
    permission  text COLLATE "C" NOT NULL,
    tool        text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, permission),
    FOREIGN KEY (tenant, tool) REFERENCES tools (tenant, name)
);

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
