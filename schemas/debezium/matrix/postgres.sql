-- One column of each type that a column of a ClickHouse table can be made of, and rows with edge values: 1 ordinary,
-- 2 null, 3 lowest or odd, 4 highest or odd, 5 infinite. The connector's snapshot finds them; matrix.sh then repeats
-- them as inserts with ids above 100.
CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TABLE matrix (id int PRIMARY KEY,
  c_bool boolean, c_i2 smallint, c_i4 integer, c_i8 bigint, c_f4 real, c_f8 double precision,
  c_num_10_2 numeric(10,2), c_num_38_10 numeric(38,10), c_num_76_38 numeric(76,38), c_num numeric, c_money money,
  c_char char(5), c_varchar varchar(10), c_text text, c_citext citext,
  c_date date, c_ts0 timestamp(0), c_ts3 timestamp(3), c_ts timestamp, c_tstz timestamptz,
  c_time0 time(0), c_time3 time(3), c_time time, c_timetz timetz, c_interval interval,
  c_uuid uuid, c_json json, c_jsonb jsonb, c_xml xml, c_bytea bytea,
  c_bit1 bit(1), c_bit5 bit(5), c_bit64 bit(64), c_varbit bit varying(20),
  c_i4_arr integer[], c_i8_arr bigint[], c_f8_arr double precision[], c_bool_arr boolean[], c_text_arr text[],
  c_num_arr numeric(10,2)[], c_date_arr date[], c_ts_arr timestamp[], c_tstz_arr timestamptz[], c_uuid_arr uuid[], c_enum_arr mood[],
  c_enum mood, c_domain positive, c_inet inet, c_cidr cidr, c_macaddr macaddr, c_hstore hstore, c_ltree ltree,
  c_tsvector tsvector, c_point point, c_i4range int4range, c_oid oid);
INSERT INTO matrix VALUES (1,
  true, 7, 42, 9007199254740993, 1.5, 0.1,
  1234.56, 1.0000000001, 0.5, 3.14159, 1234.56,
  'ab', 'ünï', E'line1\nline2 "q" \\ 🚀', 'CiText',
  '2025-07-21', '2025-07-21 12:34:56', '2025-07-21 12:34:56.789', '2025-07-21 12:34:56.789012', '2025-07-21 12:34:56.789012+02',
  '12:34:56', '12:34:56.789', '12:34:56.789012', '12:34:56.789012+05:30', '1 year 2 mons 3 days 04:05:06.789',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b" : 1, "a": [1,2.50]}', '{"b": 1, "a": [1,2.50], "big": 12345678901234567890.123}', '<a x="1"><b>t</b></a>', '\xdeadbeef00',
  B'1', B'10101', x'00000000000000ff'::bit(64), B'1100101',
  '{1,NULL,3}', '{9007199254740993}', '{0.1,-1.5}', '{t,f,NULL}', '{"a","b,c","q\"q",NULL}',
  '{1.10,-2.20}', '{2025-07-21}', '{"2025-07-21 12:34:56.789012"}', '{"2025-01-01 00:00:00+00"}', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', '{ok,happy}',
  'happy', 42, '192.168.1.5/24', '10.0.0.0/8', '08:00:2b:01:02:03', 'a=>1,b=>NULL,"c d"=>"x"', 'Top.Science.Astronomy',
  to_tsvector('english','The quick brown foxes'), '(1.5,-2.25)', '[1,10)', 4294967295);
INSERT INTO matrix (id) VALUES (2);
INSERT INTO matrix VALUES (3,
  false, -32768, -2147483648, -9223372036854775808, -3.4028235e38, -1.7976931348623157e308,
  -99999999.99, -9999999999999999999999999999.9999999999, -99999999999999999999999999999999999999.99999999999999999999999999999999999999, -0.000000000000001, '-92233720368547758.08',
  '', '', '', '',
  '0001-01-01', '0001-01-01 00:00:00', '1969-12-31 23:59:59.999', '0001-01-01 00:00:00.000001', '0001-01-01 00:00:00+00',
  '00:00:00', '00:00:00', '00:00:00', '00:00:00+14', '-1 year -2 days -00:00:00.000001',
  '00000000-0000-0000-0000-000000000000', 'null', '[]', '<a/>', '',
  B'0', B'00000', x'0000000000000000'::bit(64), B'1',
  '{}', '{-9223372036854775808,9223372036854775807}', '{}', '{}', '{}',
  '{}', '{1900-01-01}', '{"1969-12-31 23:59:59.999999"}', '{"0001-01-01 00:00:00+00"}', '{}', '{}',
  'sad', 1, '::1', '::/0', '00:00:00:00:00:00', '', 'a', '', '(0,0)', 'empty', 0);
INSERT INTO matrix VALUES (4,
  true, 32767, 2147483647, 9223372036854775807, 3.4028235e38, 5e-324,
  99999999.99, 9999999999999999999999999999.9999999999, 99999999999999999999999999999999999999.99999999999999999999999999999999999999, 123456789012345678901234567890.1234567890123456789, '92233720368547758.07',
  'abcde', '0123456789', repeat('é', 300), 'É',
  '12345-12-31', '2262-04-11 23:47:16', '9999-12-31 23:59:59.999', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00',
  '23:59:59', '23:59:59.999', '23:59:59.999999', '23:59:59.999999-08', '100 years 11 mons',
  'ffffffff-ffff-ffff-ffff-ffffffffffff', '"text"', '{"k":{"k":{"k":[{}]}}}', '<é/>', decode(repeat('00ff', 40), 'hex'),
  B'1', B'11111', x'ffffffffffffffff'::bit(64), B'11111111111111111111',
  '{2147483647,-2147483648}', '{NULL}', '{1e300,NaN}', '{t}', '{"","null","🚀"}',
  '{99999999.99,NULL}', '{9999-12-31,NULL}', '{"9999-12-31 23:59:59.999999",NULL}', '{"9999-12-31 23:59:59.999999+00",NULL}', '{NULL}', '{sad}',
  'ok', 2147483647, '255.255.255.255', '255.255.255.255/32', 'ff:ff:ff:ff:ff:ff', '"q\"q"=>"\\"', 'a.b', '''a'':1A', '(1e300,-1e-300)', '(,5)', 1);
INSERT INTO matrix (id, c_f4, c_f8, c_num, c_date, c_ts0, c_ts3, c_ts, c_tstz, c_time0, c_time3, c_time, c_timetz) VALUES
  (5, 'NaN', '-Infinity', 'NaN', 'infinity', '-infinity', 'infinity', 'infinity', '-infinity', '24:00:00', '24:00:00', '24:00:00', '24:00:00+00'),
  (6, 'Infinity', 'Infinity', 'Infinity', '0044-03-15 BC', '0044-03-15 00:00:00 BC', '0044-03-15 00:00:00 BC', '0044-03-15 00:00:00 BC', '0044-03-15 00:00:00+00 BC', '01:02:03', '01:02:03.004', '01:02:03.004005', '01:02:03+00');
