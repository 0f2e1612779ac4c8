-- What the database itself says of each cell, in the plainest text of its type: days, microseconds, hexadecimal digits.
SET time_zone = '+00:00', sql_mode = '';
SELECT json_object('id', id, 'c_bool', if(c_bool IS NULL, NULL, if(c_bool IN (0, 1), if(c_bool, 'true', 'false'), concat('', c_bool))),
  'c_i1', concat('', c_i1), 'c_u1', concat('', c_u1), 'c_i2', concat('', c_i2), 'c_u2', concat('', c_u2), 'c_i3', concat('', c_i3), 'c_u3', concat('', c_u3),
  'c_i4', concat('', c_i4), 'c_u4', concat('', c_u4), 'c_i8', concat('', c_i8), 'c_u8', concat('', c_u8), 'c_f4', concat('', c_f4), 'c_f8', concat('', c_f8),
  'c_dec_10_2', concat('', c_dec_10_2), 'c_dec_65_30', concat('', c_dec_65_30), 'c_udec', concat('', c_udec),
  'c_bit1', if(c_bit1 IS NULL, NULL, if(c_bit1, 'true', 'false')), 'c_bit5', concat('', c_bit5 + 0), 'c_bit64', concat('', cast(c_bit64 AS unsigned)),
  'c_char', c_char, 'c_varchar', c_varchar, 'c_text', c_text, 'c_latin1', convert(c_latin1 USING utf8mb4),
  'c_binary', lower(hex(c_binary)), 'c_varbinary', lower(hex(c_varbinary)), 'c_blob', lower(hex(c_blob)),
  'c_date', if(c_date = 0, '0000-00-00', concat('', datediff(c_date, '1970-01-01'))),
  'c_dt0', if(c_dt0 = 0, '0000-00-00', concat('', timestampdiff(MICROSECOND, '1970-01-01', c_dt0))),
  'c_dt3', concat('', timestampdiff(MICROSECOND, '1970-01-01', c_dt3)),
  'c_dt6', if(c_dt6 = 0, '0000-00-00', concat('', timestampdiff(MICROSECOND, '1970-01-01', c_dt6))),
  'c_ts0', concat('', cast(unix_timestamp(c_ts0) * 1000000 AS signed)), 'c_ts6', concat('', cast(unix_timestamp(c_ts6) * 1000000 AS signed)),
  'c_time0', concat('', cast(time_to_sec(c_time0) * 1000000 AS signed)), 'c_time3', concat('', cast(time_to_sec(c_time3) * 1000000 AS signed)),
  'c_time6', concat('', cast(time_to_sec(c_time6) * 1000000 AS signed)), 'c_year', concat('', c_year),
  'c_enum', c_enum, 'c_set', c_set, 'c_json', concat('', c_json), 'c_point', if(c_point IS NULL, NULL, concat('{"x":', x(c_point), ',"y":', y(c_point), '}')))
FROM matrix.matrix WHERE id < 1000 ORDER BY id;
