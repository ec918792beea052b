create extension if not exists timescaledb;
create schema if not exists messaging;
create schema ingest;

-- Where each processor stands. Read at start, locked and moved in the transaction of the effects: the only truth about what was applied.
create table messaging.position (
    processor   text   not null,
    topic       text   not null,
    partition   int    not null,
    next_offset bigint not null,
    updated_at  timestamptz not null default clock_timestamp(),
    primary key (processor, topic, partition)
);

-- Records no retry can process, with their raw bytes.
create table messaging.dead_letter (
    id          bigserial primary key,
    processor   text   not null,
    topic       text   not null,
    partition   int    not null,
    "offset"    bigint not null,
    kind        text   not null,
    key         bytea,
    value       bytea,
    code        text   not null,
    detail      text   not null,
    received_at timestamptz not null default clock_timestamp(),
    unique (processor, topic, partition, "offset")
);

-- Registry ---------------------------------------------------------------------------------------------------------------------
create table ingest.platform (
    platform_id text primary key,
    name        jsonb not null,                 -- {"en": …, "zh": …}
    time_zone   text  not null,
    digest      text  not null
);

create table ingest.line (
    line_id     text primary key,
    platform_id text not null references ingest.platform,
    name        jsonb not null,
    sector      text not null default '',
    digest      text not null
);

create table ingest.instrument (
    instrument_id text primary key,             -- <line>/<name>
    line_id       text not null references ingest.line,
    name          jsonb not null,
    digest        text not null
);

create table ingest.customer (
    customer_id text primary key,
    name        jsonb not null,
    class       text not null,                  -- internal, academic, sme, industry
    credit_code text,                           -- unified social credit code
    digest      text not null
);

create table ingest.stream (
    stream_no   int generated always as identity primary key,   -- short key of blocks and ledger
    stream_id   text not null unique,           -- <line>/<name>
    line_id     text not null references ingest.line,
    instrument_id text not null references ingest.instrument,
    current_version int not null
);

create table ingest.stream_version (
    stream_id     text not null references ingest.stream (stream_id),
    version       int  not null,
    digest        text not null,
    description   jsonb not null,               -- shared.contracts.registry.Stream without its id and version
    activated_at  timestamptz not null default clock_timestamp(),
    primary key (stream_id, version),
    unique (stream_id, digest)
);

create function ingest.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% rows are immutable', tg_table_name using errcode = 'integrity_constraint_violation';
end $$;

create trigger stream_version_immutable before update or delete on ingest.stream_version
    for each row execute function ingest.refuse_change();

create table ingest.api_key (
    prefix      text primary key,               -- public part, names the key in logs
    hash        text not null,                  -- argon2id of the secret part
    label       text not null,
    role        text not null check (role in ('gateway', 'operator', 'accountant', 'viewer', 'admin')),
    platform_id text,                           -- scope; null: everything
    line_id     text,
    instrument_id text,
    created_at  timestamptz not null default clock_timestamp(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);

-- Raw storage ------------------------------------------------------------------------------------------------------------------
-- One row per message. times and values are the bytes the sender sent; row-major, k values per instant. As bytea they are written and read
-- at twice the speed of arrays; the view `sample` decodes them for SQL.
create table ingest.block (
    stream_no   int         not null,
    t0          timestamptz not null,           -- first and last sample
    t1          timestamptz not null,
    boot        text        not null,
    seq_from    bigint      not null,
    seq_to      bigint      not null,
    k           smallint    not null,
    registry_version int    not null,
    received_at timestamptz not null,
    kafka_partition int     not null,
    kafka_offset bigint     not null,
    hash        bytea       not null,
    late        boolean     not null,           -- its first sample was not newer than what the stream already had
    units       text        not null default '',  -- JSON: UCUM unit as received of every channel the gateway converted
    times       bytea       not null,           -- int8, little-endian, µs since 1970
    vals        bytea       not null,           -- float8, little-endian
    quality     bytea       not null default ''
);
alter table ingest.block alter column times set storage external, alter column vals set storage external;
select create_hypertable('ingest.block', by_range('t0', interval '1 day'), create_default_indexes => false);
create index block_stream_time on ingest.block (stream_no, t0);

-- Which messages are stored: the arbiter of duplicates, in a plain table (a unique key of a hypertable would contain the time).
create table ingest.message (
    stream_no   int    not null,
    boot        text   not null,
    seq         bigint not null,
    hash        bytea  not null,
    stored_at   timestamptz not null default transaction_timestamp(),
    primary key (stream_no, boot, seq)
);

-- received = stored + duplicate + conflict + quarantined, per stream, at any moment.
create table ingest.stream_count (
    stream_id   text primary key,
    received    bigint not null default 0,
    stored      bigint not null default 0,
    duplicate   bigint not null default 0,
    conflict    bigint not null default 0,
    quarantined bigint not null default 0,
    rows_stored bigint not null default 0,
    late        bigint not null default 0,
    constraint balanced check (received = stored + duplicate + conflict + quarantined)
);

create table ingest.latest (
    stream_no   int primary key,
    boot        text not null,
    seq         bigint not null,
    measured_at timestamptz not null,
    received_at timestamptz not null,
    vals        float8[] not null,
    quality     bytea not null default '',
    widest_block bigint not null                -- longest t1 - t0 of a block in µs: how far before a range a reader has to look
);

create table ingest.boot (
    stream_no   int    not null,
    boot        text   not null,
    first_seq   bigint not null,
    last_seq    bigint not null,                -- highest seen
    last_time   timestamptz not null,
    opened_at   timestamptz not null,
    closed_at   timestamptz,                    -- a later boot id took over
    primary key (stream_no, boot)
);

create table ingest.gap (
    gap_id      uuid primary key,
    stream_id   text   not null,
    boot        text   not null,
    from_seq    bigint not null,
    to_seq      bigint not null,
    after       timestamptz,                    -- last sample before, first sample behind the gap
    before      timestamptz,
    opened_at   timestamptz not null,
    closed_at   timestamptz,
    cause       text not null
);
create index gap_stream on ingest.gap (stream_id, boot, from_seq) where closed_at is null;

create table ingest.quarantine (
    id          bigserial primary key,
    stream_id   text not null,
    code        text not null,
    detail      text not null,
    hash        bytea not null,
    raw         bytea not null,                 -- as received; compressed when `encoding` says so
    encoding    text not null default '',       -- '' or zstd
    complete    boolean not null default true,  -- false: only the first bytes were small enough to keep
    content_type text not null,
    source      text not null,                  -- prefix of the API key that sent it
    boot        text,
    seq         bigint,
    registry_version int,
    first_seen  timestamptz not null,
    last_seen   timestamptz not null,
    count       bigint not null default 1,
    state       text not null default 'waiting' check (state in ('waiting', 'replayed', 'discarded')),
    unique (stream_id, code, hash)
);
create index quarantine_waiting on ingest.quarantine (state, last_seen desc);
create index quarantine_identity on ingest.quarantine (stream_id, boot, seq);

create table ingest.outbox (
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
create index outbox_unpublished on ingest.outbox (id) where published_seq is null;

-- The number at position `i` (from 0) of packed little-endian int8.
create function ingest.int8_at(packed bytea, i int) returns bigint language sql immutable strict parallel safe as $$
    select (get_byte(packed, 8 * i + 0)::bigint << 0) | (get_byte(packed, 8 * i + 1)::bigint << 8)
         | (get_byte(packed, 8 * i + 2)::bigint << 16) | (get_byte(packed, 8 * i + 3)::bigint << 24)
         | (get_byte(packed, 8 * i + 4)::bigint << 32) | (get_byte(packed, 8 * i + 5)::bigint << 40)
         | (get_byte(packed, 8 * i + 6)::bigint << 48) | (get_byte(packed, 8 * i + 7)::bigint << 56)
$$;

-- The number that IEEE 754 writes as these 64 bits; exact, subnormal numbers, infinities and NaN included.
create function ingest.float8_from_bits(bits bigint) returns float8 language sql immutable strict parallel safe as $$
    select case
        when e = 2047 and m <> 0 then 'NaN'::float8
        when e = 2047 then s * 'Infinity'::float8
        when e = 0 then s * (m::float8 * 4.9406564584124654e-324::float8)
        else s * ((m + 4503599627370496)::float8 * power(2::float8, (e - 1075)::float8))
    end
    from (select (bits >> 52) & 2047 as e, bits & 4503599627370495 as m, case when bits < 0 then -1::float8 else 1::float8 end as s) f
$$;

-- For people with SQL: one row per instant and channel.
create view ingest.sample as
select s.stream_id,
       v.description -> 'channels' -> c.n ->> 'name' as channel,
       timestamptz 'epoch' + ingest.int8_at(b.times, r.n) * interval '1 microsecond' as measured_at,
       ingest.float8_from_bits(ingest.int8_at(b.vals, r.n * b.k + c.n)) as value,
       b.boot, b.seq_from as seq
from ingest.block b
join ingest.stream s using (stream_no)
join ingest.stream_version v on v.stream_id = s.stream_id and v.version = b.registry_version
cross join lateral generate_series(0, length(b.times) / 8 - 1) r(n)
cross join lateral generate_series(0, b.k - 1) c(n);
