alter table ingest.api_key add column person text;
update ingest.api_key set person = prefix;     -- of a key made before, nothing more is known
alter table ingest.api_key alter column person set not null;
alter table ingest.api_key add constraint api_key_person check (btrim(person) <> '');
