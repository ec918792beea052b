-- What people say about a stretch of an instrument's time. The api writes it, with the record for the line's topic in the same transaction.
create table billing.annotation (
    annotation_id uuid primary key,
    line          text not null,
    instrument    text not null,
    from_at       timestamptz not null,
    to_at         timestamptz not null check (to_at > from_at),
    reason        text not null,
    responsible   text not null check (responsible in ('', 'customer', 'platform', 'utility', 'supplier', 'force_majeure')),
    who           text not null,
    noted_at      timestamptz not null           -- of two notes on an instant the later one is in force
);
create index annotation_instrument on billing.annotation (line, instrument, from_at);
create trigger annotation_append_only before update or delete on billing.annotation
    for each row execute function billing.refuse_change();

create table billing.annotation_withdrawal (
    annotation_id uuid primary key references billing.annotation,
    reason        text not null,
    who           text not null,
    withdrawn_at  timestamptz not null
);
create trigger annotation_withdrawal_append_only before update or delete on billing.annotation_withdrawal
    for each row execute function billing.refuse_change();

-- The note that is in force over a ledger row's segment, and what the state model had decided; null: none.
alter table billing.ledger add column annotation jsonb;
