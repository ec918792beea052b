create schema verification;

create function verification.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% rows are append-only', tg_table_name using errcode = 'integrity_constraint_violation';
end $$;

-- Criteria -------------------------------------------------------------------------------------------------------------------
create table verification.criteria_set (
    set_id       text not null,
    version      int  not null,
    digest       text not null,                 -- SHA-256 of the canonical document
    document     jsonb not null,
    state        text not null default 'draft' check (state in ('draft', 'published')),
    line_id      text,                          -- whose channels it was checked against when published
    memory_bytes bigint,                        -- bound of the evaluator's windows, as checked
    created_by   text not null,
    created_at   timestamptz not null default clock_timestamp(),
    published_at timestamptz,
    primary key (set_id, version)
);

create function verification.keep_published() returns trigger language plpgsql as $$
begin
    if old.state = 'published' then
        raise exception 'criteria set % version % is published', old.set_id, old.version using errcode = 'integrity_constraint_violation';
    end if;
    return coalesce(new, old);
end $$;

create trigger criteria_set_immutable before update or delete on verification.criteria_set
    for each row execute function verification.keep_published();

-- Runs -----------------------------------------------------------------------------------------------------------------------
create table verification.run (
    run_id       text primary key,
    project      text not null,
    customer_id  text not null,
    platform_id  text not null,
    line_id      text not null,
    scene        text not null check (scene in ('bench', 'replica', 'live_line', 'field')),
    verification_kind text not null
        check (verification_kind in ('design', 'functional_performance', 'process', 'adaptation', 'production')),
    item         text not null,                 -- item under test
    item_revision text not null,
    iteration    int  not null check (iteration >= 1),
    previous_run text references verification.run,
    equipment    text[] not null,
    criteria_set text not null,
    criteria_version int not null,
    criteria_digest text not null,
    streams      jsonb not null,                -- [{stream, version, digest}]: registry versions, pinned when the run starts
    tariff       text not null default '',
    service_code text not null default '',
    planned_end  timestamptz,
    state        text not null default 'idle' check (state in ('idle', 'running', 'held', 'stopped', 'aborted', 'complete')),
    phase        text,
    started_at   timestamptz,                   -- event time, as are the others of this block
    ended_at     timestamptz,
    end_reason   text,                          -- why it ended; what it was worth is the verdict
    -- What the worker says of it. `provisional`: the live evaluation; `final`: recomputed from stored frames and equal;
    -- `mismatch`: recomputed and not equal, both kept.
    verdict      text not null default 'none' check (verdict in ('none', 'pass', 'inconclusive', 'fail')),
    verdict_state text not null default 'provisional' check (verdict_state in ('provisional', 'final', 'mismatch')),
    evaluation   int not null default 0,        -- the one in force
    gaps         int not null default 0,
    late         int not null default 0,
    created_by   text not null,
    created_at   timestamptz not null default clock_timestamp(),
    foreign key (criteria_set, criteria_version) references verification.criteria_set
);
create index run_line on verification.run (line_id, started_at);
create index run_newest on verification.run (created_at desc, run_id desc);
create index run_project on verification.run (project, iteration);

-- Every command as it was given, also the refused ones: who, when, why. The key makes a repetition harmless.
create table verification.run_command (
    id           bigserial primary key,
    run_id       text not null references verification.run,
    key          text not null,
    command      text not null,                 -- start, hold, restart, stop, abort, complete, phase
    phase        text,
    at           timestamptz not null,          -- event time
    who          text not null,
    reason       text not null,
    outcome      text not null check (outcome in ('carried_out', 'refused')),
    problem      jsonb,                         -- the refusal as it was answered
    state_after  text not null,
    received_at  timestamptz not null default clock_timestamp(),
    unique (run_id, key)
);
create trigger run_command_append_only before update or delete on verification.run_command
    for each row execute function verification.refuse_change();

-- run_start → descriptor … → event … → run_stop, linked by id; exactly one of the first and of the last.
create table verification.run_document (
    number       bigserial primary key,
    document_id  uuid not null unique,
    run_id       text not null references verification.run,
    kind         text not null check (kind in ('run_start', 'descriptor', 'event', 'run_stop')),
    refers_to    uuid references verification.run_document (document_id),
    body         jsonb not null
);
create index run_document_run on verification.run_document (run_id, number);
create unique index run_document_once on verification.run_document (run_id, kind) where kind in ('run_start', 'run_stop');
create trigger run_document_append_only before update or delete on verification.run_document
    for each row execute function verification.refuse_change();

-- Evaluations ----------------------------------------------------------------------------------------------------------------
create table verification.evaluation (
    run_id       text not null references verification.run,
    number       int  not null,
    kind         text not null check (kind in ('live', 'stored')),
    cause        text not null,                 -- started, late_data, close
    supersedes   int,
    state        text not null default 'open' check (state in ('open', 'final')),
    verdict      text not null default 'none' check (verdict in ('none', 'pass', 'inconclusive', 'fail')),
    engine       text not null,
    criteria_digest text not null,
    inputs_digest text,
    digest       text,                          -- of inputs, criteria, engine and results
    upto_offset  bigint,                        -- frames of the line below this offset were read
    result       jsonb,                         -- final criteria as digested
    difference   jsonb,                         -- against what it supersedes
    opened_at    timestamptz not null default clock_timestamp(),
    closed_at    timestamptz,
    primary key (run_id, number)
);

-- Outcomes as they grew. Within an evaluation a criterion's outcome only grows, so its name identifies the transition.
create table verification.criterion_result (
    result_id    uuid primary key,              -- UUIDv5 over (run, evaluation, criterion, transition)
    run_id       text not null,
    evaluation   int  not null,
    criterion    text not null,
    before       text not null,
    after        text not null,
    margin       float8,
    unit         text not null,
    decided_at   timestamptz,                   -- earliest decision, event time
    reason       text,
    state        jsonb not null,                -- the criterion at that moment, with its evidence
    positions    jsonb not null default '[]',   -- Kafka positions of the evidence: outside every digest
    recorded_at  timestamptz not null default clock_timestamp(),
    foreign key (run_id, evaluation) references verification.evaluation
);
create index criterion_result_run on verification.criterion_result (run_id, criterion, evaluation);
create trigger criterion_result_append_only before update or delete on verification.criterion_result
    for each row execute function verification.refuse_change();

-- What the pages show at the moment. Replaced in place; the truth is in evaluation and criterion_result.
create table verification.criterion_state (
    run_id       text not null references verification.run,
    criterion    text not null,
    evaluation   int  not null,
    position     int  not null,                 -- order in the criteria set
    activity     text not null check (activity in ('planned', 'open', 'waiting', 'decided', 'rebuilding')),
    verdict      text not null,
    margin       float8,
    low          float8 not null,
    high         float8 not null,
    frontier     timestamptz,                   -- event time up to which it is judged
    reason       text,
    state        jsonb not null,
    updated_at   timestamptz not null default clock_timestamp(),
    primary key (run_id, criterion)
) with (fillfactor = 50);

create table verification.evaluation_mismatch (
    run_id       text not null,
    live         int  not null,
    stored       int  not null,
    live_digest  text not null,
    stored_digest text not null,
    difference   jsonb not null,
    found_at     timestamptz not null default clock_timestamp(),
    primary key (run_id, live, stored)
);

-- The worker's memory ----------------------------------------------------------------------------------------------------------
-- State of a run as of `next_offset`; the batches applied since are in worker_batch, committed with their effects.
create table verification.worker_snapshot (
    run_id       text primary key references verification.run,
    line_id      text not null,
    partition    int  not null,
    next_offset  bigint not null,
    plan_digest  text not null,
    snapshot     bytea not null,
    updated_at   timestamptz not null default clock_timestamp()
);
alter table verification.worker_snapshot alter column snapshot set storage external;
create index worker_snapshot_partition on verification.worker_snapshot (partition);

create table verification.worker_batch (
    partition    int    not null,
    first_offset bigint not null,
    next_offset  bigint not null,
    records      bytea  not null,
    primary key (partition, first_offset)
);
alter table verification.worker_batch alter column records set storage external;

create table verification.outbox (
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
create index outbox_unpublished on verification.outbox (id) where published_seq is null;
