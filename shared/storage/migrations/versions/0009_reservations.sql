-- Time of an instrument kept for a customer. The api writes it, with the record for the line's topic in the same transaction.
create table billing.reservation (
    reservation_id uuid primary key,
    line          text not null,
    instrument    text not null,
    from_at       timestamptz not null,
    to_at         timestamptz not null check (to_at > from_at),
    customer      text not null,
    project       text not null,
    service_code  text not null,
    tariff        text not null,                 -- '' for none, id or id@version
    booked_by     text not null,
    booked_at     timestamptz not null
);
create index reservation_instrument on billing.reservation (line, instrument, from_at);
create trigger reservation_append_only before update or delete on billing.reservation
    for each row execute function billing.refuse_change();

-- From cancelled_at on it keeps nothing; at or before its start, it never did.
create table billing.reservation_cancellation (
    reservation_id uuid primary key references billing.reservation,
    cancelled_at  timestamptz not null,
    reason        text not null,
    who           text not null,
    recorded_at   timestamptz not null default clock_timestamp()
);
create trigger reservation_cancellation_append_only before update or delete on billing.reservation_cancellation
    for each row execute function billing.refuse_change();

-- The reservation that counts over a ledger row's segment, '' for none.
alter table billing.ledger add column reservation text not null default '';

alter table billing.ledger_quantity drop constraint ledger_quantity_kind_check;
alter table billing.ledger_quantity add constraint ledger_quantity_kind_check
    check (kind in ('integral', 'count', 'maximum', 'mean', 'samples', 'bytes', 'reserved'));
