-- What a plugin meets less often. Rows as in postgres.sql.
CREATE EXTENSION isn;
CREATE DOMAIN price AS numeric(10,2); CREATE DOMAIN label AS text;
CREATE TYPE pair AS (a int, b text);
CREATE TABLE more (id int PRIMARY KEY,
  c_name name, c_num_neg numeric(5,-2), c_num_text numeric, c_num_big numeric(200,100), c_domain_num price, c_domain_text label,
  c_tstz0 timestamptz(0), c_tstz3 timestamptz(3), c_timetz3 timetz(3), c_bit100 bit(100), c_varbit bit varying,
  c_macaddr8 macaddr8, c_pg_lsn pg_lsn, c_tsquery tsquery, c_isbn isbn,
  c_i8range int8range, c_numrange numrange, c_tsrange tsrange, c_tstzrange tstzrange, c_daterange daterange, c_multirange int4multirange,
  c_composite pair, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon, c_circle circle,
  c_i2_arr smallint[], c_f4_arr real[], c_varchar_arr varchar[], c_char_arr char(3)[], c_num_u_arr numeric[], c_time_arr time[],
  c_bytea_arr bytea[], c_json_arr json[], c_jsonb_arr jsonb[], c_inet_arr inet[], c_i4_arr2 integer[][]);
INSERT INTO more VALUES (1,
  'a name', 12300, 12.50, 0.1, 1234.56, 'a label',
  '2025-07-21 12:34:56+02', '2025-07-21 12:34:56.789+02', '12:34:56.789+05:30', B'1010' || repeat('0', 96)::bit(96), B'1100101',
  '08:00:2b:01:02:03:04:05', '16/B374D848', 'fat & (rat | cat)', '978-0-393-04002-9',
  '[1,10)', '(1.5,2.50]', '[2025-07-21 12:34:56,2025-07-22)', '[2025-07-21 12:34:56+00,)', '[2025-07-21,2025-07-22)', '{[1,3),[5,8)}',
  '(7,"x, y")', '{1,-1,0}', '[(0,0),(1,2.5)]', '((1,1),(0,0))', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(1,2),3>',
  '{7,NULL}', '{1.5,0.1}', '{"a,b",NULL}', '{ab,abc}', '{1.5,-2.25}', '{12:34:56.789012}',
  '{"\\xdeadbeef",NULL}', '{"{\"a\": 1}"}', '{"{\"a\": 1}"}', '{192.168.1.5/24}', '{{1,2},{3,4}}');
INSERT INTO more (id) VALUES (2);
INSERT INTO more VALUES (3,
  '', -99900, -0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001, -1e-100, -99999999.99, '',
  '0044-03-15 00:00:00+00 BC', '0001-01-01 00:00:00.001+00', '00:00:00+15:59', repeat('0', 100)::bit(100), B'',
  '00:00:00:00:00:00:00:00', '0/0', '!a', '0-393-04002-X',
  'empty', '(,)', 'empty', '(-infinity,infinity)', '(,)', '{}',
  '(,)', '{0,1,0}', '[(0,0),(0,0)]', '((0,0),(0,0))', '((0,0))', '((0,0))', '<(0,0),0>',
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');
INSERT INTO more VALUES (4,
  repeat('n', 63), 99900, repeat('9', 200)::numeric, (repeat('9', 100) || '.' || repeat('9', 100))::numeric, 99999999.99, 'é"\',
  '9999-12-31 23:59:59+00', '294276-12-31 23:59:59.999+00', '23:59:59.999-15:59', repeat('1', 100)::bit(100), repeat('10', 100)::bit varying,
  'ff:ff:ff:ff:ff:ff:ff:ff', 'FFFFFFFF/FFFFFFFF', '''a b'':*A <-> c', '978-1-4028-9462-6',
  '[-9223372036854775808,9223372036854775807)', '[-1e30,1e-30]', '[0044-03-15 BC,infinity]', '[0044-03-15 00:00:00+00 BC,9999-12-31 23:59:59.999999+00]',
  '[0044-03-15 BC,9999-12-31)', '{(,5),[7,)}',
  '(-1,"q""\\é")', '{1e300,-1e-300,0.1}', '[(1e300,-1e300),(0.1,1e-300)]', '((1e300,1e300),(-1e300,-1e300))', '((0.1,0.2),(0.3,0.4))', '((0.1,0.2),(0.3,0.4),(1,1))', '<(0.1,0.2),1e300>',
  '{-32768,32767}', '{3.4028235e38,NaN,-Infinity}', '{"",NULL,null,"é"}', '{é,NULL}', '{123456789012345678901234567890.1234567890123456789,NULL}', '{00:00:00,23:59:59.999999}',
  '{"\\x","\\x00ff"}', '{null,"[1, 2.50]",NULL}', '{null,"[1, 2.50]",NULL}', '{::1,255.255.255.255/8,NULL}', '{{1},{NULL}}');
INSERT INTO more (id, c_num_text, c_tstz0, c_tstz3, c_num_u_arr, c_time_arr) VALUES
  (5, 'NaN', 'infinity', '-infinity', '{NaN}', '{24:00:00}'),
  (6, '-Infinity', 'infinity', '-infinity', '{Infinity,-Infinity}', NULL);
