-- Endpoints that want verification.events. `reached` is the published_seq up to which deliveries have been queued.
create table verification.webhook (
    webhook_id  uuid primary key,
    url         text not null,
    description text not null default '',
    events      text[] not null,
    platform_id text,
    line_id     text,
    project     text,
    state       text not null default 'active' check (state in ('active', 'disabled', 'removed')),
    reason      text,                           -- why it is disabled
    reached     bigint not null,
    created_by  text not null,
    created_at  timestamptz not null default clock_timestamp()
);

-- The signer has to know a secret, so it is kept as it is; no answer shows it after its creation.
create table verification.webhook_secret (
    secret_id   bigserial primary key,
    webhook_id  uuid not null references verification.webhook,
    secret      text not null,
    created_by  text not null,
    created_at  timestamptz not null default clock_timestamp(),
    expires_at  timestamptz
);
create index webhook_secret_webhook on verification.webhook_secret (webhook_id);

-- One row per endpoint and event, in the order of the events. The body is kept: what is signed is what was queued.
create table verification.webhook_delivery (
    delivery_id     bigserial primary key,
    webhook_id      uuid not null references verification.webhook,
    event_id        uuid not null,
    event           text not null,
    body            bytea not null,
    state           text not null default 'waiting' check (state in ('waiting', 'delivered', 'dead')),
    attempts        int  not null default 0,    -- since it was queued, or sent again by a person
    next_attempt_at timestamptz not null default clock_timestamp(),
    created_at      timestamptz not null default clock_timestamp(),
    ended_at        timestamptz,
    unique (webhook_id, event_id)
);
create index webhook_delivery_waiting on verification.webhook_delivery (webhook_id, delivery_id) where state = 'waiting';
create index webhook_delivery_state on verification.webhook_delivery (webhook_id, state, delivery_id);

create table verification.webhook_attempt (
    attempt_id   bigserial primary key,
    delivery_id  bigint not null references verification.webhook_delivery,
    at           timestamptz not null default clock_timestamp(),
    milliseconds int  not null,
    status       int,                           -- null: no answer
    failure      text
);
create index webhook_attempt_delivery on verification.webhook_attempt (delivery_id);
create trigger webhook_attempt_append_only before update or delete on verification.webhook_attempt
    for each row execute function verification.refuse_change();
