-- What the database itself says of each cell, as postgres-values.sql, whose functions this uses.
SET timezone = 'UTC'; SET extra_float_digits = 3;
-- The text of a type that Debezium does not know comes as bytes.
CREATE FUNCTION hex(text) RETURNS text LANGUAGE sql AS $$ SELECT encode(convert_to($1, 'UTF8'), 'hex') $$;
-- Well-known binary (little-endian) of the points in a shape's text.
CREATE FUNCTION little(bytea) RETURNS text LANGUAGE sql AS
  $$ SELECT string_agg(encode(substr($1, at, 1), 'hex'), '' ORDER BY at DESC) FROM generate_series(1, length($1)) at $$;
CREATE FUNCTION points(text) RETURNS text LANGUAGE sql AS
  $$ SELECT little(int4send(count(*)::int)) || string_agg(little(float8send(p[1]::float8)) || little(float8send(p[2]::float8)), '' ORDER BY n)
     FROM regexp_matches($1, '([-+.e0-9]+),([-+.e0-9]+)', 'g') WITH ORDINALITY m(p, n) $$;
SELECT jsonb_build_object('id', id,
  'c_name', c_name::text, 'c_num_neg', c_num_neg::text, 'c_num_text', c_num_text::text, 'c_num_big', c_num_big::text,
  'c_domain_num', c_domain_num::text, 'c_domain_text', c_domain_text::text,
  'c_tstz0', micros(c_tstz0 AT TIME ZONE 'UTC'), 'c_tstz3', micros(c_tstz3 AT TIME ZONE 'UTC'),
  'c_timetz3', trunc(mod(extract(epoch FROM c_timetz3) + 172800, 86400) * 1000000)::text,
  'c_bit100', bits(c_bit100), 'c_varbit', bits(c_varbit),
  'c_macaddr8', c_macaddr8::text, 'c_pg_lsn', hex(c_pg_lsn::text), 'c_tsquery', hex(c_tsquery::text), 'c_isbn', c_isbn::text,
  'c_i8range', c_i8range::text, 'c_numrange', c_numrange::text, 'c_tsrange', c_tsrange::text, 'c_tstzrange', c_tstzrange::text,
  'c_daterange', c_daterange::text, 'c_multirange', hex(c_multirange::text)) || jsonb_build_object(
  'c_composite', hex(c_composite::text), 'c_line', CASE WHEN c_line IS NOT NULL THEN (SELECT json_build_object('a', p[1]::float8, 'b', p[2]::float8, 'c', p[3]::float8)::text
     FROM regexp_match(c_line::text, '([-+.e0-9]+),([-+.e0-9]+),([-+.e0-9]+)') p) END,
  'c_lseg', '0102000000' || points(c_lseg::text),
  'c_box', '010300000001000000' || points(format('%s,%s %s,%s %s,%s %s,%s %s,%s', (c_box[0])[0], (c_box[0])[1], (c_box[0])[0], (c_box[1])[1],
     (c_box[1])[0], (c_box[1])[1], (c_box[1])[0], (c_box[0])[1], (c_box[0])[0], (c_box[0])[1])),
  'c_path', '0102000000' || points(c_path::text), 'c_polygon', '010300000001000000' ||
     points(c_polygon::text || CASE WHEN npoints(c_polygon) > 1 THEN substring(c_polygon::text from '\(([^()]*)\)') ELSE '' END),
  'c_circle', CASE WHEN c_circle IS NOT NULL THEN
     json_build_object('center', json_build_object('x', (center(c_circle))[0], 'y', (center(c_circle))[1]), 'radius', radius(c_circle))::text END,
  'c_i2_arr', list(c_i2_arr), 'c_f4_arr', list(c_f4_arr), 'c_varchar_arr', to_json(c_varchar_arr)::text, 'c_char_arr', to_json(c_char_arr)::text,
  'c_num_u_arr', CASE WHEN c_num_u_arr IS NOT NULL THEN list(ARRAY(SELECT CASE WHEN abs(b) < 'Infinity' THEN round(b, 19)::text ELSE b::text END
     FROM unnest(c_num_u_arr) WITH ORDINALITY u(b, n) ORDER BY n)) END,
  'c_time_arr', CASE WHEN c_time_arr IS NOT NULL THEN
     list(ARRAY(SELECT trunc(extract(epoch FROM b) * 1000000)::text FROM unnest(c_time_arr) WITH ORDINALITY u(b, n) ORDER BY n)) END,
  'c_bytea_arr', CASE WHEN c_bytea_arr IS NOT NULL THEN
     list(ARRAY(SELECT encode(b, 'hex') FROM unnest(c_bytea_arr) WITH ORDINALITY u(b, n) ORDER BY n)) END,
  'c_json_arr', to_json(c_json_arr::text[])::text, 'c_jsonb_arr', to_json(c_jsonb_arr::text[])::text,
  'c_inet_arr', CASE WHEN c_inet_arr IS NOT NULL THEN to_json(ARRAY(SELECT CASE WHEN b IS NOT NULL THEN format('%s', b) END FROM unnest(c_inet_arr) WITH ORDINALITY u(b, n) ORDER BY n))::text END,
  'c_i4_arr2', c_i4_arr2::text)
FROM more WHERE id < 1000 ORDER BY id;
