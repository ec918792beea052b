-- Issues: found in a run, with a history that only grows. The state is read from the history and the final verdicts.
create table verification.issue (
    issue_id     uuid primary key,
    run_id       text not null references verification.run,   -- in which it was found
    criterion    text,                          -- null: of no single criterion
    title        text not null check (title <> ''),
    key          text not null,                 -- makes a repetition harmless
    opened_by    text not null,
    opened_at    timestamptz not null,
    unique (run_id, key)
);
create trigger issue_append_only before update or delete on verification.issue
    for each row execute function verification.refuse_change();

create table verification.issue_event (
    number       bigserial primary key,
    issue_id     uuid not null references verification.issue,
    action       text not null check (action in ('cause', 'note', 'fix', 'verify', 'close', 'reopen')),
    run_id       text references verification.run,   -- with the fix, or that shows it at work
    text         text not null,
    key          text not null,
    who          text not null,
    at           timestamptz not null,
    unique (issue_id, key),
    check ((run_id is not null) = (action in ('fix', 'verify')))
);
create trigger issue_event_append_only before update or delete on verification.issue_event
    for each row execute function verification.refuse_change();
