-- What a platform says of itself on its reports; the newest version counts.
create table verification.report_profile (
    platform_id text not null,
    version     int  not null,
    digest      text not null,
    document    jsonb not null,
    applied_by  text not null,
    applied_at  timestamptz not null default clock_timestamp(),
    primary key (platform_id, version)
);
create trigger report_profile_append_only before update or delete on verification.report_profile
    for each row execute function verification.refuse_change();

-- Public keys of people who sign. The private halves are never here.
create table verification.report_key (
    platform_id text not null,
    fingerprint text not null,                  -- SHA-256 of the 32 bytes
    person      text not null,
    name        text not null,                  -- as printed
    public_key  text not null,                  -- Ed25519, 32 bytes in hexadecimal
    roles       text[] not null,
    registered_by text not null,
    registered_at timestamptz not null default clock_timestamp(),
    revoked_by  text,
    revoked_at  timestamptz,
    primary key (platform_id, fingerprint)
);

-- The last number given, per platform and year. Taken in the transaction that inserts the report: no gap.
create table verification.report_counter (
    platform_id text not null,
    year        int  not null,
    last        int  not null,
    primary key (platform_id, year)
);

create table verification.report (
    platform_id text not null,
    number      text not null,                  -- VR-<year>-<000001>
    run_id      text not null references verification.run,
    kind        text not null,
    evaluation  int  not null,
    kafka_partition int not null,               -- the frames it was judged by: below this offset of this partition
    upto_offset bigint not null,
    frames_from timestamptz not null,           -- and with a sample in this stretch of event time
    frames_to   timestamptz not null,
    particulars jsonb not null,
    document    bytea not null,                 -- canonical JSON
    digest      text not null,                  -- SHA-256 of `document`: what the signatures cover
    replaces    text,                           -- number of the report this one amends
    state       text not null default 'draft' check (state in ('draft', 'issued', 'void')),
    created_by  text not null,
    created_at  timestamptz not null,
    ended_by    text,                           -- who issued or voided it
    ended_at    timestamptz,
    void_reason text,
    primary key (platform_id, number),
    foreign key (platform_id, replaces) references verification.report,
    check ((state = 'draft') = (ended_at is null)),
    check ((state = 'void') = (void_reason is not null))
);
create index report_run on verification.report (run_id);
create unique index report_one_draft on verification.report (run_id, kind) where state = 'draft';
create unique index report_one_first on verification.report (run_id, kind) where state = 'issued' and replaces is null;
create unique index report_one_amendment on verification.report (platform_id, replaces) where state = 'issued';

create function verification.keep_report() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or old.state <> 'draft'
       or (new.platform_id, new.number, new.run_id, new.kind, new.evaluation, new.kafka_partition, new.upto_offset, new.frames_from, new.frames_to, new.particulars, new.document,
           new.digest, new.created_by, new.created_at)
          is distinct from
          (old.platform_id, old.number, old.run_id, old.kind, old.evaluation, old.kafka_partition, old.upto_offset, old.frames_from, old.frames_to, old.particulars, old.document,
           old.digest, old.created_by, old.created_at)
       or new.replaces is distinct from old.replaces then
        raise exception 'report % does not change', old.number using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;
create trigger report_immutable before update or delete on verification.report
    for each row execute function verification.keep_report();

-- The JSON members of the evidence pack, byte for byte as the evidence root covers them.
create table verification.report_member (
    platform_id text  not null,
    number      text  not null,
    name        text  not null,
    content     bytea not null,
    primary key (platform_id, number, name),
    foreign key (platform_id, number) references verification.report
);
create trigger report_member_append_only before update or delete on verification.report_member
    for each row execute function verification.refuse_change();

create table verification.report_signature (
    platform_id text not null,
    number      text not null,
    position    int  not null,
    signature   jsonb not null,                 -- statement and signature
    key         jsonb not null,                 -- the public key as it was registered at that moment
    received_at timestamptz not null default clock_timestamp(),
    primary key (platform_id, number, position),
    foreign key (platform_id, number) references verification.report
);
create trigger report_signature_append_only before update or delete on verification.report_signature
    for each row execute function verification.refuse_change();

create function verification.sign_drafts_only() returns trigger language plpgsql as $$
begin
    if (select state from verification.report where platform_id = new.platform_id and number = new.number) <> 'draft' then
        raise exception 'report % takes no signature', new.number using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;
create trigger report_signature_drafts_only before insert on verification.report_signature
    for each row execute function verification.sign_drafts_only();
