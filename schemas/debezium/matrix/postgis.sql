-- Shapes of PostGIS. Rows as in postgres.sql.
CREATE EXTENSION postgis;
CREATE TABLE shapes (id int PRIMARY KEY, c_point geometry(Point), c_geometry geometry, c_srid geometry(Geometry,4326), c_srid_json geometry(Geometry,4326), c_geography geography, c_geometry_arr geometry[]);
INSERT INTO shapes VALUES (1, 'POINT(1.5 -2.25)', 'LINESTRING(0 0, 1 1, 2 0)', 'SRID=4326;POLYGON((0 0, 1 0, 1 1, 0 0))', 'SRID=4326;POLYGON((0 0, 1 0, 1 1, 0 0))', 'POINT(13.4 52.5)', ARRAY['POINT(1 2)'::geometry, NULL]);
INSERT INTO shapes (id) VALUES (2);
INSERT INTO shapes VALUES (3, 'POINT EMPTY', 'LINESTRING ZM (1 2 3 4, 5 6 7 8)', 'SRID=4326;POINT(0 0)', 'SRID=4326;POINT(0 0)', 'SRID=4326;POINT(0 0)', '{}');
INSERT INTO shapes VALUES (4, 'POINT(1e300 -1e-300)', 'GEOMETRYCOLLECTION(POINT(1 2), MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0))))', 'SRID=4326;LINESTRING(0.1 0.2,1e300 1)', 'SRID=4326;LINESTRING(0.1 0.2,1e300 1)',
  'LINESTRING(-180 -90, 180 90)', ARRAY['SRID=3857;POINT(1 2)'::geometry]);
