create table verification.standard_version (
    standard_id text not null,
    version     text not null,
    digest      text not null,                  -- SHA-256 of the canonical document
    document    jsonb not null,
    primary key (standard_id, version)
);

create table verification.standard_step (
    id          bigserial primary key,
    standard_id text not null,
    version     text not null,
    action      text not null check (action in ('change', 'submit', 'return', 'approve', 'effect', 'supersede', 'withdraw')),
    who         text not null,
    why         text not null default '',
    at          timestamptz not null default clock_timestamp(),
    foreign key (standard_id, version) references verification.standard_version
);
create index standard_step_version on verification.standard_step (standard_id, version, id);
create trigger standard_step_append_only before update or delete on verification.standard_step
    for each row execute function verification.refuse_change();

-- A version changes only while it is a draft: after its last submission nothing but a return opens it again.
create function verification.keep_submitted() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or (old.digest <> new.digest and exists (
        select from verification.standard_step s
        where s.standard_id = old.standard_id and s.version = old.version and s.action = 'submit'
          and not exists (select from verification.standard_step r
                          where r.standard_id = s.standard_id and r.version = s.version and r.action = 'return' and r.id > s.id)))
    then
        raise exception 'standard % % is no draft', old.standard_id, old.version using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;
create trigger standard_version_immutable before update or delete on verification.standard_version
    for each row execute function verification.keep_submitted();

create table verification.standard_adoption (
    platform_id text not null,
    standard_id text not null,
    version     text not null,
    who         text not null,
    at          timestamptz not null default clock_timestamp(),
    primary key (platform_id, standard_id, version),
    foreign key (standard_id, version) references verification.standard_version
);
create trigger standard_adoption_append_only before update or delete on verification.standard_adoption
    for each row execute function verification.refuse_change();
