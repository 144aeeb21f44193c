"""Turn the settings into roles, tables, grants and row policies in an empty database."""

from collections.abc import Mapping

import psycopg
from psycopg import sql

from assistant.config import Account, Security

APP_ROLE = "app"

TABLES = """
CREATE EXTENSION vector;

CREATE ROLE assistant_owner NOLOGIN;
CREATE ROLE member NOLOGIN;

-- Who a database role is. Members read their own line and change none.
CREATE TABLE members (
    role name PRIMARY KEY,
    tenant text NOT NULL,
    owner text NOT NULL,
    UNIQUE (tenant, owner)
);

CREATE TABLE documents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant text,
    owner text,
    title text NOT NULL,
    body text NOT NULL,
    embedding vector(256),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- A document without a tenant is knowledge for everybody's answers; who uploaded it stands here.
    uploader_tenant text,
    uploader text,
    CHECK ((tenant IS NULL) = (owner IS NULL)),
    CHECK ((tenant IS NULL) = (uploader_tenant IS NOT NULL AND uploader IS NOT NULL))
);
ALTER TABLE documents ALTER COLUMN embedding SET STORAGE PLAIN;
CREATE INDEX documents_by_owner ON documents (tenant, owner, created_at DESC, id DESC);

-- The table of mem0, as its pgvector store makes it, but without an index of the vectors: a search is an exact scan.
CREATE TABLE notes (
    id uuid PRIMARY KEY,
    vector vector(256),
    payload jsonb
);
ALTER TABLE notes ALTER COLUMN vector SET STORAGE PLAIN;
CREATE INDEX notes_by_word ON notes USING gin (to_tsvector('simple', payload->>'text_lemmatized'));
CREATE INDEX notes_by_user ON notes ((payload->>'user_id'));

-- What the tools keep for a user. Members have no right to it.
CREATE TABLE tool_notes (LIKE documents INCLUDING ALL);

ALTER TABLE members OWNER TO assistant_owner;
ALTER TABLE documents OWNER TO assistant_owner;
ALTER TABLE notes OWNER TO assistant_owner;
ALTER TABLE tool_notes OWNER TO assistant_owner;

GRANT SELECT ON members TO member;
GRANT SELECT, INSERT, DELETE ON documents TO member, app;
GRANT SELECT, INSERT, DELETE ON notes, tool_notes TO app;

ALTER TABLE members ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_line ON members FOR SELECT TO member USING (role = current_user);
"""

ROW_LEVEL_SECURITY = """
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents FORCE ROW LEVEL SECURITY;
"""

# The service answers for its own queries: it filters by tenant and owner in each of them.
SERVICE_POLICY = "CREATE POLICY service ON documents TO app USING (true) WITH CHECK (true)"

OWN_ROWS = """
CREATE POLICY own_rows ON documents TO member
    USING ((tenant, owner) = (SELECT m.tenant, m.owner FROM members m WHERE m.role = current_user))
    WITH CHECK ((tenant, owner) = (SELECT m.tenant, m.owner FROM members m WHERE m.role = current_user))
"""

TENANT_ROWS = """
CREATE POLICY tenant_rows ON documents TO member
    USING (tenant = (SELECT m.tenant FROM members m WHERE m.role = current_user))
    WITH CHECK (tenant = (SELECT m.tenant FROM members m WHERE m.role = current_user))
"""


def create_schema(
    admin: "psycopg.Connection[tuple[object, ...]]",
    *,
    app_password: str,
    member_passwords: Mapping[Account, str],
    security: Security,
) -> None:
    """Create everything; `member_passwords` holds one entry for each account."""
    _create_login(admin, APP_ROLE, app_password)
    admin.execute(TABLES)
    for account, password in member_passwords.items():
        _create_login(admin, account.role, password)
        admin.execute(sql.SQL("GRANT member TO {}").format(sql.Identifier(account.role)))
        admin.execute("INSERT INTO members VALUES (%s, %s, %s)", (account.role, account.tenant, account.user))
    if security.row_level_security:
        admin.execute(ROW_LEVEL_SECURITY)
    admin.execute(SERVICE_POLICY)
    admin.execute(OWN_ROWS if security.rls_per_user else TENANT_ROWS)


def _create_login(admin: "psycopg.Connection[tuple[object, ...]]", role: str, password: str) -> None:
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
