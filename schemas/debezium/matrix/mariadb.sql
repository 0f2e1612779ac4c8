-- As postgres.sql: 1 ordinary, 2 null, 3 lowest or odd, 4 highest or odd, 5 what only a lax server takes.
CREATE DATABASE matrix CHARACTER SET utf8mb4;
USE matrix;
SET sql_mode = '', time_zone = '+00:00';
CREATE TABLE matrix (id int PRIMARY KEY,
  c_bool boolean, c_i1 tinyint, c_u1 tinyint unsigned, c_i2 smallint, c_u2 smallint unsigned, c_i3 mediumint, c_u3 mediumint unsigned,
  c_i4 int, c_u4 int unsigned, c_i8 bigint, c_u8 bigint unsigned, c_f4 float, c_f8 double,
  c_dec_10_2 decimal(10,2), c_dec_65_30 decimal(65,30), c_udec decimal(20,0) unsigned,
  c_bit1 bit(1), c_bit5 bit(5), c_bit64 bit(64),
  c_char char(5), c_varchar varchar(10), c_text text, c_latin1 varchar(10) CHARACTER SET latin1,
  c_binary binary(5), c_varbinary varbinary(20), c_blob blob,
  c_date date, c_dt0 datetime, c_dt3 datetime(3), c_dt6 datetime(6), c_ts0 timestamp NULL, c_ts6 timestamp(6) NULL,
  c_time0 time, c_time3 time(3), c_time6 time(6), c_year year,
  c_enum enum('a','b c','ü'), c_set set('x','y','z'), c_json json, c_point point);
INSERT INTO matrix VALUES (1,
  true, 7, 7, 7, 7, 7, 7, 42, 42, 9007199254740993, 9007199254740993, 1.5, 0.1, 1234.56, 0.5, 12345678901234567890,
  b'1', b'10101', b'11111111', 'ab', 'ünï', 'line1\nline2 "q" \\ 🚀', 'é',
  'ab', x'deadbeef00', x'00ff10', '2025-07-21', '2025-07-21 12:34:56', '2025-07-21 12:34:56.789', '2025-07-21 12:34:56.789012',
  '2025-07-21 12:34:56', '2025-07-21 12:34:56.789012', '12:34:56', '12:34:56.789', '12:34:56.789012', 2025,
  'b c', 'x,z', '{"b" : 1, "a": [1,2.50]}', point(1.5, -2.25));
INSERT INTO matrix (id) VALUES (2);
INSERT INTO matrix VALUES (3,
  false, -128, 0, -32768, 0, -8388608, 0, -2147483648, 0, -9223372036854775808, 0, -3.4028e38, -1.7976931348623157e308,
  -99999999.99, -99999999999999999999999999999999999.999999999999999999999999999999, 0,
  b'0', b'00000', 0, '', '', '', '', '', '', '', '1000-01-01', '1000-01-01 00:00:00', '1000-01-01 00:00:00', '1000-01-01 00:00:00.000001',
  '1970-01-01 00:00:01', '1970-01-01 00:00:01.000001', '-838:59:59', '-838:59:59.999', '-838:59:59.999999', 1901,
  'a', '', 'null', point(0, 0));
INSERT INTO matrix VALUES (4,
  true, 127, 255, 32767, 65535, 8388607, 16777215, 2147483647, 4294967295, 9223372036854775807, 18446744073709551615, 3.4028e38, 1.7976931348623157e308,
  99999999.99, 99999999999999999999999999999999999.999999999999999999999999999999, 99999999999999999999,
  b'1', b'11111', 18446744073709551615, 'abcde', '0123456789', repeat('é', 300), 'ÿ', 'abcde', x'ffffffffffffffffffffffffffffffffffffffff', repeat(x'00ff', 40),
  '9999-12-31', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999', '9999-12-31 23:59:59.999999',
  '2038-01-19 03:14:07', '2038-01-19 03:14:07.999999', '838:59:59', '838:59:59.999', '838:59:59.999999', 2155,
  'ü', 'x,y,z', '{"k":{"k":[{}]}}', point(1e300, -1e-300));
INSERT INTO matrix (id, c_bool, c_date, c_dt0, c_dt6, c_time0, c_time6, c_enum) VALUES
  (5, 2, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '24:00:00', '-00:00:00.000001', '');
