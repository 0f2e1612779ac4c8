-- What the database itself says of each cell, in the plainest text of its type: days, microseconds, hexadecimal digits.
SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'; SET extra_float_digits = 3;
CREATE FUNCTION list(anyarray) RETURNS text LANGUAGE sql AS $$ SELECT '[' || array_to_string($1, ', ', 'null') || ']' $$;
CREATE FUNCTION micros(timestamp) RETURNS text LANGUAGE sql AS
  $$ SELECT CASE WHEN isfinite($1) THEN trunc(extract(epoch FROM $1) * 1000000)::text ELSE $1::text END $$;
CREATE FUNCTION number(bit varying) RETURNS text LANGUAGE sql AS
  $$ SELECT sum(2::numeric ^ (length($1) - at) * substr($1::text, at, 1)::int)::numeric(20)::text FROM generate_series(1, length($1)) at $$;
-- Bits as little-endian bytes, in hexadecimal digits.
CREATE FUNCTION bits(b bit varying) RETURNS text LANGUAGE sql AS
  $$ SELECT coalesce(string_agg(lpad(to_hex((SELECT sum(get_bit(b, at) << (length(b) - 1 - at - 8 * byte)) FROM generate_series(0, length(b) - 1) at
       WHERE (length(b) - 1 - at) / 8 = byte)), 2, '0'), '' ORDER BY byte), CASE WHEN b IS NOT NULL THEN '' END) FROM generate_series(0, (length(b) - 1) / 8) byte $$;
SELECT jsonb_build_object('id', id,
  'c_bool', c_bool::text) || jsonb_build_object('c_i2', c_i2::text, 'c_i4', c_i4::text, 'c_i8', c_i8::text, 'c_f4', c_f4::text, 'c_f8', c_f8::text,
  'c_num_10_2', c_num_10_2::text, 'c_num_38_10', c_num_38_10::text, 'c_num_76_38', c_num_76_38::text,
  'c_num', CASE WHEN c_num IN ('NaN', 'Infinity') THEN c_num::text ELSE round(c_num, 19)::text END, 'c_money', c_money::numeric(19,2)::text,
  'c_char', c_char || repeat(' ', 5 - length(c_char)), 'c_varchar', c_varchar, 'c_text', c_text, 'c_citext', c_citext,
  'c_date', CASE WHEN isfinite(c_date) THEN (c_date - date '1970-01-01')::text ELSE c_date::text END,
  'c_ts0', micros(c_ts0), 'c_ts3', micros(c_ts3), 'c_ts', micros(c_ts), 'c_tstz', micros(c_tstz AT TIME ZONE 'UTC'),
  'c_time0', trunc(extract(epoch FROM c_time0) * 1000000)::text, 'c_time3', trunc(extract(epoch FROM c_time3) * 1000000)::text,
  'c_time', trunc(extract(epoch FROM c_time) * 1000000)::text, 'c_timetz', trunc(mod(extract(epoch FROM c_timetz) + 172800, 86400) * 1000000)::text,
  'c_interval', trunc((extract(year FROM c_interval) * 12 + extract(month FROM c_interval)) * 2629800000000 + extract(day FROM c_interval) * 86400000000
     + extract(hour FROM c_interval) * 3600000000 + extract(minute FROM c_interval) * 60000000 + extract(second FROM c_interval) * 1000000)::text,
  'c_interval_text', c_interval::text) || jsonb_build_object(
  'c_uuid', replace(c_uuid::text, '-', ''), 'c_json', c_json::text, 'c_jsonb', c_jsonb::text, 'c_xml', c_xml::text, 'c_bytea', encode(c_bytea, 'hex'),
  'c_bit1', (c_bit1 = B'1')::text, 'c_bit5', number(c_bit5), 'c_bit64', number(c_bit64), 'c_varbit', number(c_varbit),
  'c_i4_arr', list(c_i4_arr), 'c_i8_arr', list(c_i8_arr), 'c_f8_arr', list(c_f8_arr), 'c_text_arr', to_json(c_text_arr)::text,
  'c_bool_arr', CASE WHEN c_bool_arr IS NOT NULL THEN list(ARRAY(SELECT b::text FROM unnest(c_bool_arr) WITH ORDINALITY u(b, n) ORDER BY n)) END,
  'c_num_arr', list(c_num_arr),
  'c_date_arr', (SELECT list(array_agg(d - date '1970-01-01' ORDER BY n)) FROM unnest(c_date_arr) WITH ORDINALITY u(d, n)),
  'c_ts_arr', (SELECT list(array_agg(micros(t) ORDER BY n)) FROM unnest(c_ts_arr) WITH ORDINALITY u(t, n)),
  'c_tstz_arr', (SELECT list(array_agg(micros(t AT TIME ZONE 'UTC') ORDER BY n)) FROM unnest(c_tstz_arr) WITH ORDINALITY u(t, n)),
  'c_uuid_arr', CASE WHEN c_uuid_arr IS NOT NULL THEN
     list(ARRAY(SELECT replace(b::text, '-', '') FROM unnest(c_uuid_arr) WITH ORDINALITY u(b, n) ORDER BY n)) END,
  'c_enum_arr', list(c_enum_arr)) || jsonb_build_object(
  'c_enum', c_enum::text, 'c_domain', c_domain::text, 'c_inet', CASE WHEN c_inet IS NOT NULL THEN format('%s', c_inet) END, 'c_cidr', c_cidr::text, 'c_macaddr', c_macaddr::text,
  'c_hstore', hstore_to_json(c_hstore)::text, 'c_ltree', c_ltree::text, 'c_tsvector', c_tsvector::text,
  'c_point', CASE WHEN c_point IS NOT NULL THEN json_build_object('x', c_point[0], 'y', c_point[1])::text END,
  'c_i4range', c_i4range::text, 'c_oid', c_oid::text)
FROM matrix WHERE id < 1000 ORDER BY id;
