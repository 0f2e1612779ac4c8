USE matrix;
SELECT json_object('id', id, 'c_zerofill', concat('', c_zerofill + 0), 'c_real', concat('', c_real), 'c_float_53', concat('', c_float_53), 'c_double_10_2', concat('', c_double_10_2),
  'c_dec_65_0', concat('', c_dec_65_0), 'c_dec_38_38', concat('', c_dec_38_38), 'c_dec', concat('', c_dec), 'c_bit10', concat('', c_bit10 + 0),
  'c_tinytext', c_tinytext, 'c_mediumtext', c_mediumtext, 'c_longtext', c_longtext, 'c_nchar', c_nchar, 'c_utf16', convert(c_utf16 USING utf8mb4), 'c_binary_text', c_binary_text,
  'c_tinyblob', lower(hex(c_tinyblob)), 'c_mediumblob', lower(hex(c_mediumblob)), 'c_longblob', lower(hex(c_longblob)), 'c_enum', c_enum,
  'c_geometry', lower(hex(ST_AsWKB(c_geometry))), 'c_linestring', lower(hex(ST_AsWKB(c_linestring))), 'c_polygon', lower(hex(ST_AsWKB(c_polygon))),
  'c_multipoint', lower(hex(ST_AsWKB(c_multipoint))), 'c_collection', lower(hex(ST_AsWKB(c_collection))))
FROM more WHERE id < 1000 ORDER BY id;
