-- What a plugin meets less often. Rows as in mariadb.sql.
USE matrix;
CREATE TABLE more (id int PRIMARY KEY, c_zerofill int(8) zerofill, c_real real, c_float_53 float(53), c_double_10_2 double(10,2),
  c_dec_65_0 decimal(65,0), c_dec_38_38 decimal(38,38), c_dec decimal, c_bit10 bit(10),
  c_tinytext tinytext, c_mediumtext mediumtext, c_longtext longtext, c_nchar nchar(5), c_utf16 varchar(10) CHARACTER SET utf16,
  c_binary_text varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, c_tinyblob tinyblob, c_mediumblob mediumblob, c_longblob longblob,
  c_enum enum('it''s','a"b','','null','🚀'),
  c_geometry geometry, c_linestring linestring, c_polygon polygon, c_multipoint multipoint, c_collection geometrycollection);
INSERT INTO more VALUES (1, 42, 0.1, 0.1, 1234.56, 12345678901234567890123456789012345678901234567890, 0.5, 1234567890, b'1010101010',
  'tiny', 'medium', 'long', 'ünï', 'ünï🚀', 'Bin', x'deadbeef', x'00ff', x'01', 'it''s',
  point(1.5, -2.25), ST_GeomFromText('LINESTRING(0 0,1 1,2 0)'), ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))', 4326), ST_GeomFromText('MULTIPOINT(0 0,1 1)'),
  ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))'));
INSERT INTO more (id) VALUES (2);
INSERT INTO more VALUES (3, 0, -1.7976931348623157e308, 5e-324, -99999999.99, -99999999999999999999999999999999999999999999999999999999999999999,
  -0.99999999999999999999999999999999999999, -9999999999, b'0', '', '', '', '', '', '', '', '', '', '',
  point(0, 0), ST_GeomFromText('LINESTRING(0 0,0 0)'), ST_GeomFromText('POLYGON((0 0,0 0,0 0,0 0))'), ST_GeomFromText('MULTIPOINT(0 0)'), ST_GeomFromText('GEOMETRYCOLLECTION EMPTY'));
INSERT INTO more VALUES (4, 4294967295, 1.7976931348623157e308, 3.141592653589793, 99999999.99, 99999999999999999999999999999999999999999999999999999999999999999,
  0.99999999999999999999999999999999999999, 9999999999, b'1111111111', repeat('é', 100), repeat('🚀', 1000), '{"a":"\\u00e9"}', 'éééé', '🚀🚀', 'trail \\ "q"  ',
  repeat(x'00ff', 100), repeat(x'00ff', 1000), x'', '🚀', ST_GeomFromText('POINT(1e300 -1e-300)', 4326), ST_GeomFromText('LINESTRING(0.1 0.2,1e300 1)'),
  ST_GeomFromText('POLYGON((0 0,9 0,9 9,0 0),(1 1,2 1,2 2,1 1))'), ST_GeomFromText('MULTIPOINT(0.1 0.2,0.3 0.4)'), ST_GeomFromText('GEOMETRYCOLLECTION(GEOMETRYCOLLECTION(POINT(1 2)))'));
