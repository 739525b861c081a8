-- +goose Up

-- Sealed values begin with the id of their key (see internal/seal). A looked-up name is
-- sealed in its column; what is only read back stands in seal, all of it together and
-- bound to the row, and its own columns are empty then. A plain row has an empty seal.
-- The key that each server writes new values of the installation with, and the salt.
CREATE TABLE encryption (
    id          integer NOT NULL PRIMARY KEY CHECK (id = 1),
    -- Of the installation's own values and of new tenants; empty leaves them plain.
    sealed_with text NOT NULL,
    -- The ids of other keys that the installation's own values may still be sealed
    -- with, between commas; 'plain' for those that are not.
    sealed_also text NOT NULL,
    salt        text NOT NULL,
    -- Counts the changes of sealed_with.
    turn        integer NOT NULL
) STRICT;

INSERT INTO encryption (id, sealed_with, sealed_also, salt, turn) VALUES (1, '', '', '', 0);

CREATE TABLE encryption_keys (
    number      integer NOT NULL PRIMARY KEY,
    iterations  integer NOT NULL,
    -- Tells whether a secret is the key's.
    check_value text NOT NULL,
    created_at  integer NOT NULL,
    -- 0 while a value may be sealed with the key.
    retired_at  integer NOT NULL
) STRICT;

-- As in encryption, of the tenant's values.
ALTER TABLE tenants ADD COLUMN sealed_with text NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN sealed_also text NOT NULL DEFAULT '';

ALTER TABLE roles ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE memberships ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE user_groups ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE tools ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE tool_permissions ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE changes ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE session_users ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE token_families ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE signing_keys ADD COLUMN seal text NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN seal text NOT NULL DEFAULT '';

-- Sealed, those are looked through where a name is not found.
CREATE INDEX inactive_users ON users (tenant, name) WHERE active = 0;

-- Sealed, a group's name differs between the two columns.
CREATE TABLE group_members_new (
    tenant      text NOT NULL,
    member_type text NOT NULL CHECK (member_type IN ('user', 'group')),
    member      text NOT NULL,
    group_name  text NOT NULL,
    seal        text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, member_type, member, group_name)
) STRICT, WITHOUT ROWID;

INSERT INTO group_members_new (tenant, member_type, member, group_name)
SELECT tenant, member_type, member, group_name FROM group_members;

DROP TABLE group_members;
ALTER TABLE group_members_new RENAME TO group_members;
CREATE INDEX group_members_by_group ON group_members (tenant, group_name, member_type, member);

-- +goose Down
DROP INDEX inactive_users;
CREATE TABLE group_members_old (
    tenant      text NOT NULL,
    member_type text NOT NULL CHECK (member_type IN ('user', 'group')),
    member      text NOT NULL,
    group_name  text NOT NULL,
    PRIMARY KEY (tenant, member_type, member, group_name),
    FOREIGN KEY (tenant, group_name) REFERENCES user_groups (tenant, name)
) STRICT, WITHOUT ROWID;

INSERT INTO group_members_old (tenant, member_type, member, group_name)
SELECT tenant, member_type, member, group_name FROM group_members;

DROP TABLE group_members;
ALTER TABLE group_members_old RENAME TO group_members;
CREATE INDEX group_members_by_group ON group_members (tenant, group_name, member_type, member);
ALTER TABLE audit_events DROP COLUMN seal;
ALTER TABLE signing_keys DROP COLUMN seal;
ALTER TABLE token_families DROP COLUMN seal;
ALTER TABLE session_users DROP COLUMN seal;
ALTER TABLE sessions DROP COLUMN seal;
ALTER TABLE changes DROP COLUMN seal;
ALTER TABLE tool_permissions DROP COLUMN seal;
ALTER TABLE tools DROP COLUMN seal;
ALTER TABLE nodes DROP COLUMN seal;
ALTER TABLE user_groups DROP COLUMN seal;
ALTER TABLE users DROP COLUMN seal;
ALTER TABLE memberships DROP COLUMN seal;
ALTER TABLE grants DROP COLUMN seal;
ALTER TABLE roles DROP COLUMN seal;
ALTER TABLE tenants DROP COLUMN sealed_also;
ALTER TABLE tenants DROP COLUMN sealed_with;
DROP TABLE encryption_keys;
DROP TABLE encryption;
