-- The records of a run in the order of the log, as the worker has applied them: what an evaluation from storage starts from.
create table verification.run_record (
    run_id       text not null references verification.run,
    partition    int    not null,
    log_offset   bigint not null,
    record       bytea  not null,                -- shared/contracts/lifecycle.py
    read_at      timestamptz not null default clock_timestamp(),
    primary key (run_id, log_offset)
);
create trigger run_record_append_only before update or delete on verification.run_record
    for each row execute function verification.refuse_change();

-- Files of inspections, by content.
create table verification.attachment (
    sha256       text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
    content_type text not null,
    size         int  not null check (size between 1 and 20971520),
    content      bytea not null,
    stored_by    text not null,
    stored_at    timestamptz not null default clock_timestamp()
);
alter table verification.attachment alter column content set storage external;
create trigger attachment_append_only before update or delete on verification.attachment
    for each row execute function verification.refuse_change();

-- Results of the laboratory and of inspections. A wrong one is replaced by an entry that corrects it.
create table verification.result_entry (
    number       bigserial primary key,
    entry_id     uuid not null unique,
    run_id       text not null references verification.run,
    criterion    text not null,
    key          text not null,                 -- makes a repetition harmless
    value        float8,
    unit         text not null default '',
    uncertainty  float8,                        -- expanded, in the same unit
    passed       boolean,
    sampled_at   timestamptz,                   -- event time
    attachment   text references verification.attachment,
    note         text not null default '',
    corrects     uuid references verification.result_entry (entry_id),
    entered_by   text not null,
    entered_at   timestamptz not null,
    unique (run_id, key),
    check ((value is null) <> (passed is null))
);
create index result_entry_run on verification.result_entry (run_id, number);
create unique index result_entry_corrected_once on verification.result_entry (corrects);
create trigger result_entry_append_only before update or delete on verification.result_entry
    for each row execute function verification.refuse_change();

create table verification.result_confirmation (
    entry_id     uuid primary key references verification.result_entry (entry_id),
    confirmed_by text not null,
    confirmed_at timestamptz not null
);
create trigger result_confirmation_append_only before update or delete on verification.result_confirmation
    for each row execute function verification.refuse_change();

-- Departures from what was agreed. Each counts once somebody else than its author has accepted it.
create table verification.deviation (
    run_id       text not null references verification.run,
    deviation_id uuid not null unique,
    criterion    text,                          -- null: of the whole run
    kind         text not null check (kind in ('calibration_expired', 'undecided', 'procedure')),
    reason       text not null check (reason <> ''),
    key          text not null,
    recorded_by  text not null,
    accepted_by  text check (accepted_by <> recorded_by),
    recorded_at  timestamptz not null,
    accepted_at  timestamptz,
    primary key (run_id, deviation_id),
    unique (run_id, key),
    check ((accepted_by is null) = (accepted_at is null)),
    check (kind = 'procedure' or criterion is not null)
);

create function verification.only_accept() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.accepted_by is null and new.accepted_by is not null
       and (new.run_id, new.deviation_id, new.criterion, new.kind, new.reason, new.key, new.recorded_by, new.recorded_at)
           is not distinct from
           (old.run_id, old.deviation_id, old.criterion, old.kind, old.reason, old.key, old.recorded_by, old.recorded_at) then
        return new;
    end if;
    raise exception 'deviations are append-only, and accepted once' using errcode = 'integrity_constraint_violation';
end $$;

create trigger deviation_append_only before update or delete on verification.deviation
    for each row execute function verification.only_accept();
