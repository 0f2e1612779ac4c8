-- Rows of random values, for the live test alone: within what every mode can carry exactly, or is known to lose.
SELECT setseed(SEED / 10000.0);
INSERT INTO matrix SELECT id, random() < 0.5, (random() * 65535 - 32768)::int::smallint, (random() * 4294967295 - 2147483648)::bigint::int,
  (floor(random() * 4294967296)::bigint << 32 | floor(random() * 4294967296)::bigint), ((random() - 0.5) * 10 ^ (random() * 60 - 30))::real, (random() - 0.5) * 10 ^ (random() * 600 - 300),
  round(((random() - 0.5) * 1e8)::numeric, 2), round(((random() - 0.5) * 1e15)::numeric * random()::numeric, 10), round(((random() - 0.5) * 1e15)::numeric ^ 2 * random()::numeric, 38),
  round(((random() - 0.5) * 1e15)::numeric * random()::numeric, floor(random() * 19)::int), ((random() - 0.5) * 1e15)::numeric::money,
  substr(md5(random()::text), 1, 5), substr(md5(random()::text), 1, 10), (SELECT string_agg(chr(32 + floor(random() * 55000)::int), '') FROM generate_series(1, 1 + id % 50)), md5(random()::text),
  date '0001-01-01' + floor(random() * 3652058)::int, timestamp '1700-01-01' + random() * interval '500 years', timestamp '1700-01-01' + random() * interval '500 years',
  timestamp '1700-01-01' + random() * interval '500 years', timestamptz '1700-01-01+00' + random() * interval '500 years',
  time '00:00' + random() * interval '86398 seconds', time '00:00' + random() * interval '86399 seconds', time '00:00' + random() * interval '86399 seconds', (time '00:00' + random() * interval '86399 seconds')::text::timetz,
  make_interval(floor(random() * 100)::int, floor(random() * 12)::int, 0, floor(random() * 30)::int, floor(random() * 24)::int, floor(random() * 60)::int, floor(random() * 60)),
  md5(random()::text)::uuid, json_build_object('n', random(), 't', md5(random()::text)), jsonb_build_array(random(), NULL, 'x'), ('<a>' || md5(random()::text) || '</a>')::xml,
  decode(repeat(md5(random()::text), id % 5), 'hex'), (random() < 0.5)::int::bit(1), floor(random() * 32)::int::bit(5),
  (floor(random() * 4294967296)::bigint << 32 | floor(random() * 4294967296)::bigint)::bit(64), floor(1 + random() * 1048574)::int::bit(20)::varbit,
  (SELECT array_agg(floor((random() - 0.5) * 4e9)::int) FROM generate_series(1, id % 7)), (SELECT array_agg(floor((random() - 0.5) * 1e18)::bigint) FROM generate_series(1, id % 7)),
  (SELECT array_agg(random() * 10 ^ (random() * 600 - 300)) FROM generate_series(1, id % 7)), (SELECT array_agg(random() < 0.5) FROM generate_series(1, id % 7)),
  (SELECT array_agg(md5(random()::text)) FROM generate_series(1, id % 7)), (SELECT array_agg(round(((random() - 0.5) * 1e8)::numeric, 2)) FROM generate_series(1, id % 7)),
  (SELECT array_agg(date '1900-01-01' + floor(random() * 100000)::int) FROM generate_series(1, id % 7)), (SELECT array_agg(timestamp '1700-01-01' + random() * interval '500 years') FROM generate_series(1, id % 7)),
  (SELECT array_agg(timestamptz '1700-01-01+00' + random() * interval '500 years') FROM generate_series(1, id % 7)), (SELECT array_agg(md5(random()::text)::uuid) FROM generate_series(1, id % 7)), NULL,
  (ARRAY['sad', 'ok', 'happy'])[1 + floor(random() * 3)::int]::mood, 1 + floor(random() * 2e9)::int, ('10.' || floor(random() * 256)::int || '.1.2/' || 1 + floor(random() * 32)::int)::inet, NULL, substr(md5(random()::text), 1, 12)::macaddr,
  hstore(md5(random()::text), md5(random()::text)), ('a.' || md5(random()::text))::ltree, NULL, point((random() - 0.5) * 1e3, random()), int4range(floor(random() * 100)::int, 100 + floor(random() * 100)::int), floor(random() * 4e9)::bigint::oid
FROM generate_series(10, 60) id;
