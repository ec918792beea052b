create schema billing;

create function billing.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% rows are append-only', tg_table_name using errcode = 'integrity_constraint_violation';
end $$;

-- Meter ------------------------------------------------------------------------------------------------------------------------
create table billing.outbox (
    id            bigserial primary key,
    event_id      uuid not null unique,
    topic         text not null,
    key           text not null,
    kind          text not null,
    value         bytea not null,
    created_at    timestamptz not null default clock_timestamp(),
    published_seq bigint unique,
    published_at  timestamptz
);
create index outbox_unpublished on billing.outbox (id) where published_seq is null;

create table billing.state_model (
    line          text  not null,
    version       int   not null,
    model_id      text  not null,
    digest        text  not null unique,
    source        text  not null,                -- the YAML as published
    streams       jsonb not null,                -- {stream: registry version} it was resolved against
    published_at  timestamptz not null default clock_timestamp(),
    published_by  text  not null,
    primary key (line, version)
);
create trigger state_model_immutable before update or delete on billing.state_model
    for each row execute function billing.refuse_change();

create table billing.meter_state (
    line          text primary key,
    partition     int  not null,                 -- of line.records: the process that owns it owns this row
    model_digest  text not null references billing.state_model (digest),
    snapshot      bytea not null,                -- LineMeter.snapshot()
    stale_since   timestamptz,                   -- null: nothing waits for a rebuild
    updated_at    timestamptz not null default clock_timestamp()
);

-- Every closed segment and every revision of it, as the meter saw it. The ledger holds what was billed of it.
create table billing.segment (
    segment_key   uuid   not null,
    revision      int    not null,
    line          text   not null,
    instrument    text   not null,
    run           text   not null,
    start_at      timestamptz not null,
    end_at        timestamptz not null check (end_at > start_at),
    void          boolean not null,
    content_hash  text   not null,
    document      jsonb  not null,               -- usage.segment_document with content_hash
    primary key (segment_key, revision)
);
create index segment_instrument on billing.segment (line, instrument, start_at);
create index segment_run on billing.segment (run, instrument, start_at);
create trigger segment_append_only before update or delete on billing.segment
    for each row execute function billing.refuse_change();

-- Open segments up to the frontier, for the live page and the live bill; rewritten with every batch.
create table billing.segment_open (
    line          text not null,
    instrument    text not null,
    document      jsonb not null,
    primary key (line, instrument)
);

-- Usage ------------------------------------------------------------------------------------------------------------------------
-- Which events were taken, for ever: in a plain table, without any time in the key.
create table billing.usage_event (
    tenant        text not null,
    source        text not null,
    id            text not null,
    content_hash  bytea not null,                -- SHA-256 of what the event says: its data's content_hash
    recorded_at   timestamptz not null default transaction_timestamp(),
    primary key (tenant, source, id)
);

-- The same identity with other content: kept for a person, never billed.
create table billing.usage_conflict (
    conflict_id   bigint generated always as identity primary key,
    tenant        text not null,
    source        text not null,
    id            text not null,
    content_hash  bytea not null,
    value         bytea not null,
    seen_at       timestamptz not null default clock_timestamp(),
    unique (tenant, source, id, content_hash)
);

-- What could not be read as usage: kept with its reason, never read as 0.
create table billing.usage_quarantine (
    quarantine_id bigint generated always as identity primary key,
    topic         text   not null,
    partition     int    not null,
    "offset"      bigint not null,
    code          text   not null,
    detail        text   not null,
    value         bytea  not null,
    seen_at       timestamptz not null default clock_timestamp(),
    unique (topic, partition, "offset")
);

-- received = recorded + duplicate + conflict + quarantined, per tenant.
create table billing.usage_count (
    tenant        text primary key,
    received      bigint not null default 0,
    recorded      bigint not null default 0,
    duplicate     bigint not null default 0,
    conflict      bigint not null default 0,
    quarantined   bigint not null default 0,
    constraint balanced check (received = recorded + duplicate + conflict + quarantined)
);

-- Ledger -----------------------------------------------------------------------------------------------------------------------
-- The next number. The recorder locks this row until it commits, so numbers are gap-free and in commit order.
create table billing.ledger_counter (
    only_row      boolean primary key default true check (only_row),
    next_seq      bigint not null default 1
);
insert into billing.ledger_counter default values;

create table billing.ledger (
    ledger_seq    bigint primary key,
    tenant        text   not null,
    source        text   not null,
    event_id      text   not null,
    segment_key   uuid   not null,
    revision      int    not null check (revision >= 0),
    supersedes    text,                          -- event id of the revision before
    void          boolean not null,
    model_digest  text   not null,
    line          text   not null,
    instrument    text   not null,
    customer      text   not null,
    project       text   not null,
    run           text   not null,
    phase         text   not null,
    held          boolean not null,
    service_code  text   not null,
    tariff        text   not null,
    state         text   not null check (state in ('productive', 'standby', 'engineering', 'scheduled_down', 'unscheduled_down',
                                                   'non_scheduled')),
    sub_state     text   not null check (sub_state in ('', 'setup', 'run', 'clean', 'idle_hold', 'recover')),
    reason        text   not null,
    responsible   text   not null check (responsible in ('customer', 'platform', 'utility', 'supplier', 'force_majeure')),
    start_at      timestamptz not null,
    end_at        timestamptz not null check (end_at > start_at),
    measured_s    numeric(18, 6) not null check (measured_s >= 0),
    inferred_s    numeric(18, 6) not null check (inferred_s >= 0),
    unknown_s     numeric(18, 6) not null check (unknown_s >= 0),
    evidence      jsonb  not null,
    content_hash  text   not null,
    recorded_at   timestamptz not null default transaction_timestamp(),
    unique (tenant, source, event_id),
    unique (tenant, source, segment_key, revision)
);
create index ledger_customer on billing.ledger (tenant, customer, start_at);
create index ledger_run on billing.ledger (run, instrument, start_at);
create trigger ledger_append_only before update or delete on billing.ledger
    for each row execute function billing.refuse_change();

create table billing.ledger_quantity (
    ledger_seq    bigint not null references billing.ledger,
    position      smallint not null,
    name          text   not null,
    unit          text   not null,               -- UCUM
    kind          text   not null check (kind in ('integral', 'count', 'maximum', 'mean')),
    value         numeric(38, 9) not null,
    covered_s     numeric(18, 6) not null,
    primary key (ledger_seq, position),
    unique (ledger_seq, name)
);
create trigger ledger_quantity_append_only before update or delete on billing.ledger_quantity
    for each row execute function billing.refuse_change();

-- Tariffs and payers -----------------------------------------------------------------------------------------------------------
create table billing.tariff (
    tenant        text not null,
    tariff_id     text not null,
    version       int  not null,
    digest        text not null,
    currency      text not null,
    effective_from date not null,
    effective_to  date,
    source        text not null,                 -- the YAML as published
    published_at  timestamptz not null default clock_timestamp(),
    published_by  text not null,
    primary key (tenant, tariff_id, version),
    unique (tenant, digest)
);
create trigger tariff_immutable before update or delete on billing.tariff
    for each row execute function billing.refuse_change();

create table billing.customer (
    tenant        text not null,
    customer_id   text not null,
    name          jsonb not null,
    class         text not null check (class in ('internal', 'academic', 'sme', 'industry')),
    credit_code   text,
    tariff_id     text,
    primary key (tenant, customer_id)
);

create table billing.voucher (
    tenant        text not null,
    voucher_id    text not null,
    customer_id   text not null,
    scheme        text not null,
    kind          text not null check (kind in ('voucher', 'district_subsidy', 'programme', 'platform')),
    priority      int  not null,                 -- order in which payers are asked
    percent       numeric(7, 4) not null check (percent > 0 and percent <= 100),
    cap           numeric(18, 2) check (cap >= 0),   -- null: none
    service_codes text[] not null default '{}',  -- empty: every charge
    valid_from    date not null,
    valid_to      date,
    primary key (tenant, voucher_id),
    foreign key (tenant, customer_id) references billing.customer
);

-- Invoices ---------------------------------------------------------------------------------------------------------------------
create table billing.invoice_number (
    issuer        text primary key,
    next_number   bigint not null default 1
);

create table billing.invoice (
    invoice_id    uuid primary key,
    tenant        text not null,
    customer_id   text not null,
    customer_class text not null,                -- as it was rated
    state         text not null check (state in ('draft', 'review', 'final', 'cancelled')),
    number        text,                          -- given when final, gap-free per issuer
    issuer        text not null,
    currency      text not null,
    period_start  timestamptz not null,
    period_end    timestamptz not null check (period_end > period_start),
    ledger_seq    bigint not null,               -- rated up to and including this row
    tariff_id     text not null,
    tariff_version int not null,
    tariff_digest text not null,
    engine        text not null,
    slice_digest  text not null,
    digest        text not null,                 -- over the lines' digests, taxes and totals
    net           numeric(18, 2) not null,
    tax           numeric(18, 2) not null,
    gross         numeric(18, 2) not null,
    created_at    timestamptz not null default clock_timestamp(),
    finalised_at  timestamptz,
    finalised_by  text,
    unique (issuer, number),
    constraint adds_up check (gross = net + tax),
    constraint numbered check ((state = 'final') = (number is not null)),
    foreign key (tenant, tariff_id, tariff_version) references billing.tariff
);
create index invoice_customer on billing.invoice (tenant, customer_id, period_start);

create table billing.invoice_line (
    line_id       uuid not null,
    invoice_id    uuid not null references billing.invoice on delete cascade,
    position      int  not null,
    charge        text not null,
    scope         text not null,                 -- run id, or the period
    name          jsonb not null,
    quantity      numeric(38, 9) not null,
    unit          text not null,
    amount        numeric(18, 2) not null,
    tax_code      text not null,
    tax_rate      numeric(7, 4) not null,
    tax           numeric(18, 2) not null,
    explain       jsonb not null,
    sentence      jsonb not null,                -- {"en": …, "zh": …}
    slice_digest  text not null,
    digest        text not null,
    primary key (invoice_id, line_id),
    unique (invoice_id, position)
);
create index invoice_line_id on billing.invoice_line (line_id);

create table billing.invoice_share (
    invoice_id    uuid not null,
    line_id       uuid not null,
    position      int  not null,
    payer         text not null,
    kind          text not null check (kind in ('customer', 'voucher', 'district_subsidy', 'programme', 'platform')),
    amount        numeric(18, 2) not null,
    primary key (invoice_id, line_id, position),
    foreign key (invoice_id, line_id) references billing.invoice_line on delete cascade
);

-- What of a voucher's cap is used. A row per invoice that became final; the sum is the consumption.
create table billing.voucher_consumption (
    tenant        text not null,
    voucher_id    text not null,
    invoice_id    uuid not null references billing.invoice,
    amount        numeric(18, 2) not null,
    consumed_at   timestamptz not null default clock_timestamp(),
    primary key (tenant, voucher_id, invoice_id),
    foreign key (tenant, voucher_id) references billing.voucher
);
create trigger voucher_consumption_append_only before update or delete on billing.voucher_consumption
    for each row execute function billing.refuse_change();

-- A final invoice never changes again; its lines and shares neither.
create function billing.refuse_final() returns trigger language plpgsql as $$
declare
    of_invoice uuid := coalesce(old.invoice_id, new.invoice_id);
begin
    if tg_table_name = 'invoice' then
        if old.state = 'final' then
            raise exception 'invoice % is final', of_invoice using errcode = 'integrity_constraint_violation';
        end if;
    elsif exists (select from billing.invoice i where i.invoice_id = of_invoice and i.state = 'final') then
        raise exception 'invoice % is final', of_invoice using errcode = 'integrity_constraint_violation';
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    return new;
end $$;
create trigger invoice_final before update or delete on billing.invoice for each row execute function billing.refuse_final();
create trigger invoice_line_final before insert or update or delete on billing.invoice_line
    for each row execute function billing.refuse_final();
create trigger invoice_share_final before insert or update or delete on billing.invoice_share
    for each row execute function billing.refuse_final();
