-- Asked for over HTTP, worked on by one api process at a time; a job of a process that is gone is failed by the next one.
create table verification.what_if (
    job_id      uuid primary key,
    asked_by    text not null,
    runs        text[] not null,
    drafts      jsonb not null,                 -- criteria sets as documents
    state       text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed')),
    progress    float8 not null default 0,      -- share of what is to be read
    tables      jsonb,                          -- a flip table per run and draft
    problem     jsonb,                          -- why it failed
    asked_at    timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);
create index what_if_waiting on verification.what_if (asked_at) where state in ('queued', 'running');
