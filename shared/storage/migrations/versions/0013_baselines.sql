alter table verification.run add column baselines jsonb not null default '[]';
