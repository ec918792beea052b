-- Replaced in place when a late sample moves a boundary; what was said is in the run's documents and events.
create table verification.run_phase (
    run_id       text not null references verification.run,
    phase        text not null,
    started_at   timestamptz not null,          -- event time, as the end
    ended_at     timestamptz,
    starts_by    text not null check (starts_by in ('command', 'condition')),
    ends_itself  boolean not null,              -- by a condition of its own, not by the next phase or the run's end
    evaluation   int  not null,                 -- the one that found it
    primary key (run_id, phase)
);
