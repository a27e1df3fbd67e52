"""Triggers that reject changes of the audit log.

Entries are deleted only with their tenant, whose erasure is recorded first, in the same
transaction. A later migration that copies `audit_entries`, as SQLite's batch mode does, has to
create the triggers again.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MESSAGE = "the audit log is append-only"
NOT_ERASED = "NOT EXISTS (SELECT 1 FROM erased_tenants WHERE id = OLD.tenant_id)"

SQLITE = [
    f"""CREATE TRIGGER audit_entries_update BEFORE UPDATE ON audit_entries
    BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END""",
    f"""CREATE TRIGGER audit_entries_delete BEFORE DELETE ON audit_entries WHEN {NOT_ERASED}
    BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END""",
]
POSTGRESQL = [
    f"""CREATE FUNCTION reject_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF NOT ({NOT_ERASED}) THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation';
    END $$""",
    """CREATE TRIGGER audit_entries_change BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION reject_audit_change()""",
    """CREATE TRIGGER audit_entries_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION reject_audit_change()""",
]


def upgrade() -> None:
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_entries_update")
        op.execute("DROP TRIGGER audit_entries_delete")
    else:
        op.execute("DROP TRIGGER audit_entries_change ON audit_entries")
        op.execute("DROP TRIGGER audit_entries_truncate ON audit_entries")
        op.execute("DROP FUNCTION reject_audit_change()")
